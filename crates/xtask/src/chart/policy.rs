//! Rules of our own about what the chart renders: as few rights as there are, nothing that names
//! what is not there, no secret outside of a Secret. Pure: documents in, faults out.

use std::collections::BTreeMap;

use serde_json::Value;

/// What every pod says of itself.
const POD: [(&str, Value); 4] = [
    ("/securityContext/runAsNonRoot", Value::Bool(true)),
    ("/enableServiceLinks", Value::Bool(false)),
    ("/automountServiceAccountToken", Value::Bool(false)),
    ("/hostNetwork", Value::Null),
];
/// What every container says of itself.
const CONTAINER: [(&str, Value); 3] = [
    ("/securityContext/allowPrivilegeEscalation", Value::Bool(false)),
    ("/securityContext/readOnlyRootFilesystem", Value::Bool(true)),
    ("/securityContext/privileged", Value::Null),
];
const ROLES: [&str; 3] = ["api", "dispatcher", "worker"];
const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
/// What may only come from a Secret.
const SECRET: [&str; 2] = ["PRINTMILL_DATABASE", "PRINTMILL_SIGNING_KEY"];

/// A pod that some document makes.
struct Pod<'a> {
    of: String,
    labels: &'a Value,
    spec: &'a Value,
}

/// All that is wrong.
pub(crate) fn faults(documents: &[Value]) -> Vec<String> {
    let pods: Vec<Pod<'_>> = documents.iter().filter_map(pod).collect();
    let mut faults = vec![];
    for pod in &pods {
        rights(pod, &mut faults);
        containers(pod, &mut faults);
    }
    unique(documents, &mut faults);
    secrets(documents, &pods, &mut faults);
    deployments(documents, &mut faults);
    references(documents, &pods, &mut faults);
    selections(documents, &pods, &mut faults);
    faults
}

fn kind(document: &Value) -> &str {
    document["kind"].as_str().unwrap_or_default()
}

fn name(document: &Value) -> &str {
    document["metadata"]["name"].as_str().unwrap_or_default()
}

fn shown(document: &Value) -> String {
    format!("{} {}", kind(document), name(document))
}

fn pod(document: &Value) -> Option<Pod<'_>> {
    let of = shown(document);
    match kind(document) {
        "Pod" => Some(Pod { of, labels: &document["metadata"]["labels"], spec: &document["spec"] }),
        "Deployment" | "Job" => {
            let template = &document["spec"]["template"];
            Some(Pod { of, labels: &template["metadata"]["labels"], spec: &template["spec"] })
        }
        _ => None,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn rights(pod: &Pod<'_>, faults: &mut Vec<String>) {
    for (pointer, wanted) in POD {
        if *at(pod.spec, pointer) != wanted {
            faults.push(format!("{}: {pointer} must be {wanted}", pod.of));
        }
    }
    let profile = at(pod.spec, "/securityContext/seccompProfile/type");
    if profile != "RuntimeDefault" {
        faults.push(format!("{}: the seccomp profile must be RuntimeDefault", pod.of));
    }
    if at(pod.spec, "/securityContext/runAsUser").as_u64().is_none_or(|user| user == 0) {
        faults.push(format!("{}: runAsUser must be a user other than root", pod.of));
    }
}

fn containers(pod: &Pod<'_>, faults: &mut Vec<String>) {
    for container in list(&pod.spec["containers"]) {
        for (pointer, wanted) in CONTAINER {
            if *at(container, pointer) != wanted {
                faults.push(format!("{}: a container's {pointer} must be {wanted}", pod.of));
            }
        }
        if list(at(container, "/securityContext/capabilities/drop")) != ["ALL"] {
            faults.push(format!("{}: a container keeps capabilities", pod.of));
        }
        for resource in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            if at(&container["resources"], resource).is_null() {
                faults.push(format!("{}: a container has no resources{resource}", pod.of));
            }
        }
        let image = container["image"].as_str().unwrap_or_default();
        let tag = image.rsplit('/').next().and_then(|last| last.split_once([':', '@']));
        if tag.is_none_or(|(_, tag)| tag.is_empty() || tag == "latest") {
            faults.push(format!("{}: the image {image} names no version", pod.of));
        }
        let mounted = list(&container["volumeMounts"]);
        let volumes = list(&pod.spec["volumes"]);
        for mount in mounted {
            if volumes.iter().all(|volume| volume["name"] != mount["name"]) {
                faults.push(format!("{}: there is no volume {}", pod.of, mount["name"]));
            }
        }
    }
}

fn unique(documents: &[Value], faults: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for document in documents {
        *seen.entry(shown(document)).or_insert(0) += 1;
    }
    let twice = seen.into_iter().filter(|(_, count)| *count > 1);
    faults.extend(twice.map(|(name, count)| format!("{name} is there {count} times")));
}

fn secrets(documents: &[Value], pods: &[Pod<'_>], faults: &mut Vec<String>) {
    for document in documents {
        if kind(document) == "Secret" {
            faults.push(format!("{}: the chart makes no Secrets", shown(document)));
        }
        let data = document["data"].as_object().filter(|_| kind(document) == "ConfigMap");
        for (key, value) in data.into_iter().flatten() {
            if SECRET.contains(&key.as_str()) || has_password(value) {
                faults.push(format!("{}: {key} belongs into a Secret", shown(document)));
            }
        }
    }
    for pod in pods {
        for variable in list(&pod.spec["containers"]).iter().flat_map(|one| list(&one["env"])) {
            let name = variable["name"].as_str().unwrap_or_default();
            let referred = variable["valueFrom"]["secretKeyRef"]["name"].is_string();
            if (SECRET.contains(&name) && !referred) || has_password(&variable["value"]) {
                faults.push(format!("{}: {name} belongs into a Secret", pod.of));
            }
        }
    }
}

/// Whether it is an address with a password in it.
fn has_password(value: &Value) -> bool {
    let Some((_, rest)) = value.as_str().and_then(|text| text.split_once("://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

fn deployments(documents: &[Value], faults: &mut Vec<String>) {
    let found: Vec<&Value> = documents.iter().filter(|one| kind(one) == "Deployment").collect();
    let mut roles: Vec<&str> = found
        .iter()
        .filter_map(|one| at(one, "/spec/template/spec/containers/0/args/2").as_str())
        .collect();
    roles.sort_unstable();
    if roles != ROLES {
        faults.push(format!("there must be one Deployment for each role, not {roles:?}"));
    }
    let scaled = |deployment: &Value| {
        documents.iter().any(|one| {
            matches!(kind(one), "HorizontalPodAutoscaler" | "ScaledObject")
                && one["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        })
    };
    for deployment in found {
        let of = shown(deployment);
        let template = &deployment["spec"]["template"];
        if !includes(&template["metadata"]["labels"], at(deployment, "/spec/selector/matchLabels"))
        {
            faults.push(format!("{of}: the selector does not match the pods"));
        }
        match (scaled(deployment), deployment["spec"]["replicas"].is_null()) {
            (true, false) => {
                faults.push(format!("{of}: a scaler and `replicas` are in each other's way"));
            }
            (false, true) => {
                faults.push(format!("{of}: neither a scaler nor `replicas` says how many"));
            }
            _ => {}
        }
        for container in list(&template["spec"]["containers"]) {
            for probe in PROBES {
                let port = at(&container[probe], "/httpGet/port");
                if list(&container["ports"]).iter().all(|known| known["name"] != *port) {
                    faults.push(format!("{of}: {probe} asks no port that there is"));
                }
            }
        }
        grace_period(documents, deployment, faults);
    }
}

/// A pod has longer to end than its preStop and its drain take.
fn grace_period(documents: &[Value], deployment: &Value, faults: &mut Vec<String>) {
    let spec = at(deployment, "/spec/template/spec");
    let container = &spec["containers"][0];
    let own = list(&container["env"]).iter().find(|one| one["name"] == "PRINTMILL_DRAIN_SECONDS");
    let shared = documents
        .iter()
        .find(|one| kind(one) == "ConfigMap")
        .map(|one| &one["data"]["PRINTMILL_DRAIN_SECONDS"]);
    let drain = own.map(|one| &one["value"]).or(shared).and_then(Value::as_str);
    let drain = drain.and_then(|text| text.parse::<u64>().ok());
    let wait = at(container, "/lifecycle/preStop/sleep/seconds").as_u64().unwrap_or(0);
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    if drain.is_none_or(|drain| grace < drain + wait + 5) {
        faults.push(format!(
            "{}: {grace} s to end are too few for a preStop of {wait} s and a drain of {drain:?}",
            shown(deployment)
        ));
    }
}

/// Whether all labels of a selector are among some labels.
fn includes(labels: &Value, selector: &Value) -> bool {
    let selector = selector.as_object().filter(|selector| !selector.is_empty());
    selector.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

/// What is named is there.
fn references(documents: &[Value], pods: &[Pod<'_>], faults: &mut Vec<String>) {
    let is_there = |wanted: &str, named: &Value| {
        documents.iter().any(|one| kind(one) == wanted && one["metadata"]["name"] == *named)
    };
    for document in documents {
        let mut named: Vec<(&str, &Value)> = vec![];
        match kind(document) {
            "HorizontalPodAutoscaler" | "ScaledObject" => {
                named.push(("Deployment", at(document, "/spec/scaleTargetRef/name")));
            }
            "Ingress" => {
                for rule in list(&document["spec"]["rules"]) {
                    for path in list(at(rule, "/http/paths")) {
                        named.push(("Service", at(path, "/backend/service/name")));
                    }
                }
            }
            "HTTPRoute" => {
                for rule in list(&document["spec"]["rules"]) {
                    for backend in list(&rule["backendRefs"]) {
                        named.push(("Service", &backend["name"]));
                    }
                }
            }
            _ => {}
        }
        for (wanted, named) in named.into_iter().filter(|(wanted, named)| !is_there(wanted, named))
        {
            faults.push(format!("{}: there is no {wanted} {named}", shown(document)));
        }
    }
    for pod in pods {
        for source in list(&pod.spec["containers"]).iter().flat_map(|one| list(&one["envFrom"])) {
            let named = at(source, "/configMapRef/name");
            if !named.is_null() && !is_there("ConfigMap", named) {
                faults.push(format!("{}: there is no ConfigMap {named}", pod.of));
            }
        }
    }
}

/// What selects pods or Services selects some that there are.
fn selections(documents: &[Value], pods: &[Pod<'_>], faults: &mut Vec<String>) {
    for document in documents {
        let pointer = match kind(document) {
            "Service" => "/spec/selector",
            "PodDisruptionBudget" => "/spec/selector/matchLabels",
            "NetworkPolicy" => "/spec/podSelector/matchLabels",
            "ServiceMonitor" => {
                monitored(documents, document, faults);
                continue;
            }
            _ => continue,
        };
        let selector = at(document, pointer);
        let selected: Vec<&Pod<'_>> =
            pods.iter().filter(|pod| includes(pod.labels, selector)).collect();
        if selected.is_empty() {
            faults.push(format!("{} selects no pod", shown(document)));
        }
        for port in list(&document["spec"]["ports"]) {
            for pod in &selected {
                let containers = list(&pod.spec["containers"]).iter();
                let mut ports = containers.flat_map(|one| list(&one["ports"]));
                if ports.all(|known| known["name"] != port["targetPort"]) {
                    let port = &port["targetPort"];
                    faults.push(format!("{}: {} has no port {port}", shown(document), pod.of));
                }
            }
        }
    }
    let policies = || documents.iter().filter(|one| kind(one) == "NetworkPolicy");
    for pod in pods.iter().filter(|_| policies().next().is_some()) {
        let selector = |policy| at(policy, "/spec/podSelector/matchLabels");
        if !policies().any(|policy| includes(pod.labels, selector(policy))) {
            faults.push(format!("{}: no NetworkPolicy is about it", pod.of));
        }
    }
}

fn monitored(documents: &[Value], monitor: &Value, faults: &mut Vec<String>) {
    let selector = at(monitor, "/spec/selector/matchLabels");
    let services = documents.iter().filter(|one| kind(one) == "Service");
    let mut ports = services
        .filter(|one| includes(&one["metadata"]["labels"], selector))
        .flat_map(|one| list(&one["spec"]["ports"]));
    let wanted = at(monitor, "/spec/endpoints/0/port");
    if ports.all(|port| port["name"] != *wanted) {
        faults.push(format!("{} selects no Service with a port {wanted}", shown(monitor)));
    }
}

#[cfg(test)]
mod tests;
