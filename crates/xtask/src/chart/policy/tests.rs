//! A sound deployment has no faults; each change for the worse is found.

use super::*;
use serde_json::json;

fn deployment(role: &str) -> Value {
    let labels = json!({"app": "printmill", "role": role});
    json!({
        "kind": "Deployment",
        "metadata": {"name": role, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "enableServiceLinks": false,
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 7,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [{"name": "data"}],
                    "containers": [{
                        "image": "host:5000/printmill:1.0.0",
                        "args": ["serve", "--roles", role],
                        "ports": [{"name": "admin"}],
                        "startupProbe": {"httpGet": {"port": "admin"}},
                        "livenessProbe": {"httpGet": {"port": "admin"}},
                        "readinessProbe": {"httpGet": {"port": "admin"}},
                        "envFrom": [{"configMapRef": {"name": "settings"}}],
                        "env": [{
                            "name": "PRINTMILL_DATABASE",
                            "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
                        }],
                        "resources": {
                            "requests": {"cpu": 1, "memory": 1}, "limits": {"memory": 1},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [{"name": "data"}],
                    }],
                },
            },
        },
    })
}

fn sound() -> Vec<Value> {
    let named = |kind: &str, name: &str, spec: Value| {
        json!({
            "kind": kind, "metadata": {"name": name, "labels": {"of": "metrics"}}, "spec": spec,
        })
    };
    let backend = json!({"backend": {"service": {"name": "api"}}});
    vec![
        deployment("api"),
        deployment("worker"),
        deployment("dispatcher"),
        json!({
            "kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"PRINTMILL_DRAIN_SECONDS": "20", "PRINTMILL_BLOBS": "s3://files?a=b:c@d"},
        }),
        named(
            "Service",
            "api",
            json!({
                "selector": {"role": "api"}, "ports": [{"name": "admin", "targetPort": "admin"}],
            }),
        ),
        named("Ingress", "api", json!({"rules": [{"http": {"paths": [backend]}}]})),
        named("HTTPRoute", "api", json!({"rules": [{"backendRefs": [{"name": "api"}]}]})),
        named("PodDisruptionBudget", "api", json!({"selector": {"matchLabels": {"role": "api"}}})),
        named(
            "NetworkPolicy",
            "all",
            json!({"podSelector": {"matchLabels": {"app": "printmill"}}}),
        ),
        named(
            "ServiceMonitor",
            "all",
            json!({
                "selector": {"matchLabels": {"of": "metrics"}}, "endpoints": [{"port": "admin"}],
            }),
        ),
    ]
}

#[test]
fn what_is_sound_has_no_faults() {
    assert_eq!(faults(&sound()), Vec::<String>::new());
}

/// What becomes of the sound documents with a value put somewhere into one of them.
fn with(document: usize, pointer: &str, value: Value) -> Vec<String> {
    let mut documents = sound();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = documents[document].pointer_mut(parent).unwrap();
    match parent.as_array_mut() {
        Some(list) => list[key.parse::<usize>().unwrap()] = value,
        None => parent[key] = value,
    }
    faults(&documents)
}

#[test]
fn each_fault_is_found() {
    const POD: &str = "/spec/template/spec";
    const CONTAINER: &str = "/spec/template/spec/containers/0";
    let cases = [
        (0, format!("{POD}/securityContext/runAsNonRoot"), json!(false), "runAsNonRoot"),
        (0, format!("{POD}/securityContext/runAsUser"), json!(0), "other than root"),
        (0, format!("{POD}/securityContext/seccompProfile"), json!({}), "seccomp"),
        (0, format!("{POD}/enableServiceLinks"), json!(true), "enableServiceLinks"),
        (0, format!("{POD}/automountServiceAccountToken"), Value::Null, "automount"),
        (0, format!("{POD}/hostNetwork"), json!(true), "hostNetwork"),
        (0, format!("{POD}/terminationGracePeriodSeconds"), json!(20), "too few"),
        (0, format!("{POD}/volumes"), json!([]), "no volume"),
        (1, format!("{CONTAINER}/securityContext/capabilities"), json!({}), "capabilities"),
        (1, format!("{CONTAINER}/securityContext/privileged"), json!(true), "privileged"),
        (
            1,
            format!("{CONTAINER}/securityContext/readOnlyRootFilesystem"),
            json!(false),
            "readOnly",
        ),
        (1, format!("{CONTAINER}/resources/limits"), json!({}), "limits/memory"),
        (1, format!("{CONTAINER}/image"), json!("host:5000/printmill"), "names no version"),
        (1, format!("{CONTAINER}/image"), json!("printmill:latest"), "names no version"),
        (1, format!("{CONTAINER}/livenessProbe"), Value::Null, "livenessProbe asks no port"),
        (1, format!("{CONTAINER}/envFrom/0/configMapRef/name"), json!("x"), "no ConfigMap"),
        (1, format!("{CONTAINER}/args/2"), json!("api"), "for each role"),
        (
            2,
            format!("{CONTAINER}/env/0"),
            json!({"name": "PRINTMILL_DATABASE", "value": "x"}),
            "Secret",
        ),
        (2, format!("{CONTAINER}/env/0"), json!({"name": "A", "value": "nats://a:b@c"}), "Secret"),
        (2, "/spec/replicas".to_owned(), Value::Null, "how many"),
        (2, "/spec/selector/matchLabels".to_owned(), json!({"role": "api"}), "selector"),
        (2, "/metadata/name".to_owned(), json!("api"), "2 times"),
        (3, "/data/PRINTMILL_SIGNING_KEY".to_owned(), json!("0"), "belongs into a Secret"),
        (3, "/data/PRINTMILL_QUEUE".to_owned(), json!("nats://a:b@c/d"), "belongs into a Secret"),
        (3, "/data/PRINTMILL_DRAIN_SECONDS".to_owned(), json!("60"), "too few"),
        (4, "/spec/selector".to_owned(), json!({"role": "press"}), "selects no pod"),
        (4, "/spec/ports/0/targetPort".to_owned(), json!("http"), "has no port"),
        (5, "/spec/rules/0/http/paths/0/backend/service/name".to_owned(), json!("x"), "no Service"),
        (6, "/spec/rules/0/backendRefs/0/name".to_owned(), json!("x"), "no Service"),
        (7, "/spec/selector/matchLabels".to_owned(), json!({}), "selects no pod"),
        (8, "/spec/podSelector/matchLabels".to_owned(), json!({"role": "api"}), "no NetworkPolicy"),
        (9, "/spec/endpoints/0/port".to_owned(), json!("http"), "selects no Service"),
    ];
    for (document, pointer, value, words) in cases {
        let found = with(document, &pointer, value);
        assert!(found.iter().any(|fault| fault.contains(words)), "{pointer}: {found:?}");
    }
}

#[test]
fn a_scaler_names_a_deployment_and_is_alone_in_saying_how_many() {
    let scaler = |target: &str| {
        json!({
            "kind": "ScaledObject", "metadata": {"name": "w"},
            "spec": {"scaleTargetRef": {"name": target}},
        })
    };
    let with = |target: &str| {
        let mut documents = sound();
        documents.push(scaler(target));
        faults(&documents)
    };
    assert!(with("worker")[0].contains("in each other's way"));
    assert!(with("press")[0].contains("no Deployment"));
}
