//! The chart's pods, started by podman beside real servers: the tables are made by the hook's pod,
//! an order goes through the three roles, and all of them leave in peace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value, json};

use super::{CHART, KUBERNETES, Tools, output};

/// The network, and what all names begin with.
const NAME: &str = "printmill-chart";
const LIMIT: Duration = Duration::from_secs(180);
/// The images of the servers: what `compose/` names, or stand-ins under the same names.
const POSTGRES: &str = "docker.io/library/postgres:17.11-bookworm";
const NATS: &str = "docker.io/library/nats:2.12.8-alpine";
const MOTO: &str = "docker.io/motoserver/moto:5.2.3";
const MAKE_BUCKET: &str = "import urllib.request as u; \
    u.urlopen(u.Request('http://127.0.0.1:5000/files', method='PUT'))";
const ROLES: [&str; 3] = ["api", "worker", "dispatcher"];

struct Podman {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Podman {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    /// Starts a server in the network.
    fn server(&self, name: &str, image: &str, options: &[&str], words: &[&str]) -> Result<()> {
        let container = format!("{NAME}-{name}");
        let run = ["run", "--detach", "--network", NAME, "--name", &container];
        self.run(&[&run, options, &[image], words].concat()).map(|_| ())
    }

    /// Tries a command in a container until it succeeds.
    fn wait_for(&self, container: &str, words: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.run(&[&["exec", container], words].concat()) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > LIMIT => {
                    let logs = self.command(&["logs", container]).output()?;
                    let logs = String::from_utf8_lossy(&logs.stderr).into_owned();
                    return Err(error.context(format!("{container} is not ready:\n{logs}")));
                }
                // Podman takes a good part of a second for each try.
                Err(_) => {}
            }
        }
    }

    /// Plays documents in the network.
    fn play(&self, name: &str, documents: &[Value]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let text: String = documents.iter().map(|one| format!("---\n{one}\n")).collect();
        std::fs::write(&path, text)?;
        self.run(&["kube", "play", "--network", NAME, &path.to_string_lossy()])?;
        Ok(path)
    }

    fn clean(&self) {
        for name in ["pods.yaml", "migrate.yaml"] {
            let path = self.folder.path().join(name);
            if path.is_file() {
                let _ = self.run(&["kube", "down", &path.to_string_lossy()]);
            }
        }
        for server in ["postgres", "nats", "moto"] {
            let _ = self.run(&["rm", "--force", "--volumes", &format!("{NAME}-{server}")]);
        }
        for secret in ["backends", "blobs-key"] {
            let _ = self.run(&["secret", "rm", secret]);
        }
        let _ = self.run(&["network", "rm", "--force", NAME]);
    }

    /// Puts a Secret where podman looks for those that pods name: as JSON, with base64 in it.
    fn secret(&self, name: &str, values: &[(&str, String)]) -> Result<()> {
        let encoded: Map<String, Value> = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into()))
            .collect();
        let path = self.folder.path().join(name);
        std::fs::write(&path, Value::Object(encoded).to_string())?;
        self.run(&["secret", "create", name, &path.to_string_lossy()]).map(|_| ())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Plays the chart with a podman that has an image of Printmill and those of the servers.
pub(crate) fn play(root: &Path, podman: &Path, image: &str) -> Result<()> {
    let tools = Tools::find()?.context("helm is needed")?;
    let podman = Podman { program: podman.to_owned(), folder: tempfile::tempdir()? };
    let (values, file) =
        (podman.folder.path().join("values.yaml"), podman.folder.path().join("rendered.yaml"));
    let text = std::fs::read_to_string(root.join("crates/xtask/src/chart/play-values.yaml"))?;
    std::fs::write(&values, text.replace("localhost/printmill", image))?;
    std::fs::write(&file, tools.render(&root.join(CHART), &values, KUBERNETES[1])?)?;
    let Played { pods, migration, left_out } = split(tools.documents(&file)?)?;
    println!("    not for podman: {}, probes and published ports", left_out.join(", "));
    podman.clean();
    podman.run(&["network", "create", NAME])?;
    start_servers(&podman)?;
    make_secrets(&podman)?;
    podman.play("migrate.yaml", std::slice::from_ref(&migration))?;
    let job = container(&migration, "migrate");
    let code = podman.run(&["wait", &job])?;
    print!("    {}", podman.run(&["logs", &job])?);
    ensure!(code.trim() == "0", "the migration ended with {code}");
    podman.play("pods.yaml", &pods)?;
    let names: Vec<String> =
        podman.run(&["ps", "--format", "{{.Names}}"])?.lines().map(str::to_owned).collect();
    let of_role = |role: &&str| -> Result<String> {
        let prefix = format!("{NAME}-{role}-");
        let found = names.iter().find(|name| name.starts_with(&prefix) && name.ends_with(role));
        found.cloned().with_context(|| format!("no container of {role} runs: {names:?}"))
    };
    let containers: Vec<String> = ROLES.iter().map(of_role).collect::<Result<_>>()?;
    for container in &containers {
        podman.wait_for(container, &["printmill", "health"])?;
        println!("    {container} is ready");
    }
    let demo = ["exec", &containers[0], "printmill", "demo", "--server", "http://127.0.0.1:7070"];
    println!("{}", podman.run(&demo)?);
    for container in &containers {
        podman.run(&["stop", "--time", "30", container])?;
        let code = podman.run(&["inspect", "--format", "{{.State.ExitCode}}", container])?;
        ensure!(code.trim() == "0", "{container} ended with {code}");
    }
    println!("    all roles left in peace");
    Ok(())
}

fn start_servers(podman: &Podman) -> Result<()> {
    let options = [
        "--user=999",
        "--tmpfs=/var/run/postgresql:mode=1777",
        "--env=POSTGRES_USER=printmill",
        "--env=POSTGRES_PASSWORD=word",
        "--env=POSTGRES_DB=printmill",
        "--env=POSTGRES_INITDB_ARGS=--encoding=UTF8",
    ];
    podman.server("postgres", POSTGRES, &options, &[])?;
    podman.server("nats", NATS, &[], &["-js"])?;
    podman.server("moto", MOTO, &[], &[])?;
    let ready = ["pg_isready", "--username", "printmill", "--host", "127.0.0.1"];
    podman.wait_for(&format!("{NAME}-postgres"), &ready)?;
    podman.wait_for(&format!("{NAME}-moto"), &["python3", "-c", MAKE_BUCKET])
}

/// The Secrets that an installation must have before.
fn make_secrets(podman: &Podman) -> Result<()> {
    let database = format!("postgres://printmill:word@{NAME}-postgres/printmill?sslmode=disable");
    let blobs = format!("s3://files?endpoint=http://{NAME}-moto:5000&region=us-east-1");
    let backends = [
        ("database", database),
        ("queue", format!("nats://{NAME}-nats:4222")),
        ("blobs", blobs),
        ("signing-key", "00".repeat(32)),
    ];
    podman.secret("backends", &backends)?;
    let key = [("AWS_ACCESS_KEY_ID", "a".to_owned()), ("AWS_SECRET_ACCESS_KEY", "b".to_owned())];
    podman.secret("blobs-key", &key)
}

struct Played {
    /// What podman plays as it is.
    pods: Vec<Value>,
    /// The hook's pod, which podman does not know as a Job.
    migration: Value,
    /// The kinds that it does not know, or that mean nothing to it.
    left_out: Vec<String>,
}

fn split(documents: Vec<Value>) -> Result<Played> {
    let (mut pods, mut migration, mut left_out) = (vec![], None, vec![]);
    for document in documents {
        match document["kind"].as_str().unwrap_or_default() {
            "ConfigMap" => pods.push(document),
            "Deployment" => pods.push(for_podman(document)),
            "Job" => {
                let mut metadata = document["spec"]["template"]["metadata"].clone();
                metadata["name"] = document["metadata"]["name"].clone();
                let spec = &document["spec"]["template"]["spec"];
                migration = Some(json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
                }));
            }
            kind => left_out.push(kind.to_owned()),
        }
    }
    left_out.sort();
    left_out.dedup();
    let Some(migration) = migration else { bail!("the chart makes no Job for migrations") };
    Ok(Played { pods, migration, left_out })
}

fn container(pod: &Value, name: &str) -> String {
    format!("{}-{name}", pod["metadata"]["name"].as_str().unwrap_or_default())
}

/// Podman publishes each port of a pod on all addresses of the machine, has no systemd here to run
/// probes with (they are asked by hand), and takes folders of one name for one folder.
fn for_podman(mut deployment: Value) -> Value {
    let name = deployment["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let rename = |list: Option<&mut Value>| {
        for one in list.and_then(Value::as_array_mut).into_iter().flatten() {
            one["name"] = format!("{name}-{}", one["name"].as_str().unwrap_or_default()).into();
        }
    };
    let spec = "/spec/template/spec";
    rename(deployment.pointer_mut(&format!("{spec}/volumes")));
    let containers = deployment.pointer_mut(&format!("{spec}/containers"));
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        rename(container.get_mut("volumeMounts"));
        for key in ["ports", "startupProbe", "livenessProbe", "readinessProbe"] {
            container.as_object_mut().map(|parts| parts.remove(key));
        }
    }
    deployment
}
