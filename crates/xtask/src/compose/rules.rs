//! What every service of a compose file must keep.

use std::collections::BTreeSet;

use anyhow::Result;
use regex::Regex;
use serde_json::Value;

use super::files::Project;
use crate::report::Findings;

/// Images in which no program could check the health of another.
const NO_CHECK: [&str; 3] =
    ["otel/opentelemetry-collector-contrib:", "grafana/loki:", "jaegertracing/jaeger:"];
/// Values that are no secrets, though their names look so.
const NOT_SECRET: [&str; 3] = ["emulator", "true", "false"];

/// Checks the services of one file.
pub(super) fn check(project: &Project) -> Findings {
    let mut findings = Findings::default();
    for (name, service) in &project.services {
        for fault in faults(service, project) {
            findings.add(format!("{}: {name}: {fault}", project.path));
        }
    }
    findings
}

fn faults(service: &Value, project: &Project) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |kept: bool, fault: &str| {
        if !kept {
            faults.push(fault.to_owned());
        }
    };
    let image = service["image"].as_str().unwrap_or_default();
    expect(is_pinned(image), "`image` must name an exact version");
    let user = service["user"].as_str().unwrap_or("root");
    let is_root = user.starts_with('0') || user.starts_with("root");
    let only_gives_away = service["cap_add"] == serde_json::json!(["CHOWN"])
        && service["network_mode"] == "none"
        && !runs_on(service);
    expect(!is_root || only_gives_away, "`user` must not be root");
    expect(service["read_only"] == true, "`read_only: true` is missing");
    expect(service["cap_drop"] == serde_json::json!(["ALL"]), "`cap_drop: [ALL]` is missing");
    let is_fixed = strings(&service["security_opt"]).contains(&"no-new-privileges:true");
    expect(is_fixed, "`security_opt: [\"no-new-privileges:true\"]` is missing");
    let checked = !service["healthcheck"].is_null();
    let cannot = NO_CHECK.iter().any(|prefix| image.starts_with(prefix));
    expect(checked || cannot || !runs_on(service), "`healthcheck` is missing");
    let local = |port: &&str| port.starts_with("127.0.0.1:");
    let ports = strings(&service["ports"]);
    expect(ports.iter().all(local), "ports must be published on 127.0.0.1 only");
    faults.extend(secrets_in_the_clear(service));
    faults.extend(variables_without_example(service, &project.example));
    faults
}

/// Whether it is started again when it ends.
fn runs_on(service: &Value) -> bool {
    service["restart"] == "unless-stopped"
}

/// Whether an image's tag is a version, down to the last number, or a digest follows.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let begins = tag.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let numbers = begins.split(['.', '-', 'T']).filter(|part| part.parse::<u32>().is_ok());
    image.contains("@sha256:") || numbers.count() >= 2
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn secrets_in_the_clear(service: &Value) -> Vec<String> {
    let variables = service["environment"].as_object().into_iter().flatten();
    let secret = |name: &str| {
        ["PASSWORD", "SECRET", "TOKEN", "KEY"].iter().any(|word| name.contains(word))
            && !name.ends_with("_FILE")
    };
    let clear = variables.filter(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        secret(name) && !value.starts_with("${") && !NOT_SECRET.contains(&value)
    });
    clear.map(|(name, _)| format!("{name} is in the clear: take it from .env")).collect()
}

/// Variables that must be set, and are not in `.env.example`.
fn variables_without_example(service: &Value, example: &str) -> BTreeSet<String> {
    let text = service.to_string();
    let required = text.split("${").skip(1).filter_map(|rest| rest.split_once(":?"));
    let named = required.map(|(name, _)| name).filter(|name| !name.contains('}'));
    named
        .filter(|name| !example.lines().any(|line| line.starts_with(&format!("{name}="))))
        .map(|name| format!(".env.example does not name {name}"))
        .collect()
}

/// Metrics of ours in a dashboard that no source registers.
pub(super) fn unknown_metrics(dashboard: &str, sources: &str) -> Result<BTreeSet<String>> {
    let named = Regex::new("printmill_[a-z_]+")?;
    let registered = Regex::new("\"(printmill_[a-z_]+)\"")?;
    let known: BTreeSet<&str> =
        registered.captures_iter(sources).filter_map(|it| Some(it.get(1)?.as_str())).collect();
    let unknown = named.find_iter(dashboard).map(|it| it.as_str()).filter(|name| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| name.strip_suffix(part));
        !known.contains(name) && !base.is_some_and(|base| known.contains(base))
    });
    Ok(unknown.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn good() -> Value {
        json!({
            "image": "postgres:17.11-bookworm", "user": "999:999", "read_only": true,
            "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
            "restart": "unless-stopped", "healthcheck": {"test": ["CMD", "true"]},
            "ports": ["127.0.0.1:1:1"],
            "environment": {"A_PASSWORD": "${A_PASSWORD:?set it}"},
        })
    }

    fn faults_of(service: Value) -> Vec<String> {
        let services = BTreeMap::from([("one".to_owned(), service)]);
        let example = "A_PASSWORD=\n".to_owned();
        let project = Project { path: "a.yaml".into(), services, example };
        check(&project).faults().to_vec()
    }

    #[test]
    fn a_hardened_service_passes_and_each_lapse_is_named() {
        assert_eq!(faults_of(good()), Vec::<String>::new());
        for (key, value, named) in [
            ("image", json!("postgres:latest"), "exact version"),
            ("image", json!("postgres:17"), "exact version"),
            ("image", json!("postgres"), "exact version"),
            ("user", json!("0:0"), "must not be root"),
            ("user", Value::Null, "must not be root"),
            ("read_only", json!(false), "read_only"),
            ("cap_drop", Value::Null, "cap_drop"),
            ("security_opt", json!([]), "no-new-privileges"),
            ("healthcheck", Value::Null, "healthcheck"),
            ("ports", json!(["1:1"]), "127.0.0.1 only"),
            ("environment", json!({"S3_SECRET_KEY": "5ecret"}), "in the clear"),
            ("environment", json!({"B": "${B:?set it}"}), "does not name B"),
        ] {
            let mut service = good();
            service[key] = value;
            let faults = faults_of(service);
            assert!(faults.len() == 1 && faults[0].contains(named), "{key}: {faults:?}");
        }
    }

    #[test]
    fn root_may_give_a_folder_away_and_nothing_else() {
        let mut service = good();
        for (key, value) in [
            ("user", json!("0:0")),
            ("restart", Value::Null),
            ("network_mode", json!("none")),
            ("cap_add", json!(["CHOWN"])),
        ] {
            service[key] = value;
        }
        assert_eq!(faults_of(service.clone()), Vec::<String>::new());
        service["cap_add"] = json!(["CHOWN", "SYS_ADMIN"]);
        assert_eq!(faults_of(service).len(), 1);
    }

    #[test]
    fn metrics_that_nobody_registers_are_found() {
        let sources =
            r#"Opts::new("printmill_a_total", "A"), HistogramOpts::new("printmill_b", "B")"#;
        let dashboard = "rate(printmill_a_total[1m]) + printmill_b_bucket + printmill_c_sum";
        let unknown = unknown_metrics(dashboard, sources).unwrap();
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["printmill_c_sum"]);
    }
}
