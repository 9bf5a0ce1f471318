//! One compose profile: brought up in the order of what needs what, tried, taken down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use printmill_test_servers::python;
use serde_json::Value;

use super::podman::Podman;
use super::stand_ins;
use crate::compose;
use crate::surroundings::{self, Surroundings};

const PODMAN_COMPOSE: [&str; 1] = ["podman-compose==1.5.0"];
/// How long a server may take until it is well, on a machine that does other things.
const HEALTH_LIMIT: Duration = Duration::from_secs(180);

/// A profile under a project name of its own, so that it is not mixed up with one in use.
struct Profile<'a> {
    podman: &'a Podman,
    compose: PathBuf,
    folder: PathBuf,
    project: String,
    port: u16,
    services: BTreeMap<String, Value>,
}

/// Brings a profile up, runs the demo on it, says what it took, and takes it down.
pub(super) fn run(around: &Surroundings, podman: &Podman, name: &str, keep: bool) -> Result<()> {
    let tools = python::environment("podman-compose", &PODMAN_COMPOSE)?;
    let services = compose::services(&around.root, &format!("compose/{name}/compose.yaml"))?;
    for service in services.values() {
        if let Some(stand_in) = service["image"].as_str().and_then(stand_ins::of) {
            stand_ins::provide(podman, stand_in)?;
        }
    }
    let folder = around.root.join("compose").join(name);
    let secrets = Secrets::make(&folder)?;
    let profile = Profile {
        podman,
        compose: tools.context("python3 is missing")?.join("bin/podman-compose"),
        folder,
        project: format!("xtask-{name}"),
        port: free_port()?,
        services,
    };
    let played = profile.play();
    if keep {
        println!("    {} runs at http://127.0.0.1:{}", profile.project, profile.port);
        std::mem::forget(secrets);
        return played;
    }
    let taken_down = profile.compose(&["down", "--volumes"]);
    drop(secrets);
    played.and(taken_down)
}

impl Profile<'_> {
    fn play(&self) -> Result<()> {
        let begun = Instant::now();
        for service in in_order(&self.services)? {
            self.compose(&["up", "--detach", "--no-build", "--no-deps", service])?;
            self.wait(service)?;
        }
        println!("    {} is up after {} s", self.project, begun.elapsed().as_secs());
        let entrance = if self.services.contains_key("api") { "api" } else { "printmill" };
        let containers = self.containers(entrance)?;
        let container = containers.first().context("the api has a container")?;
        let address = format!("http://127.0.0.1:{}", self.port);
        let demo = ["exec", container, "printmill", "demo", "--server", &address];
        surroundings::run(self.podman.command(&demo))?;
        let stats = self.podman.output(&[
            "stats",
            "--all",
            "--no-stream",
            "--format",
            "{{.Name}} {{.MemUsage}}",
        ])?;
        let ours = stats.lines().filter(|line| line.starts_with(&self.project));
        ours.for_each(|line| println!("    {line}"));
        self.stop_nodes()
    }

    fn compose(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.compose);
        command.current_dir(&self.folder).env("PRINTMILL_PORT", self.port.to_string());
        command.arg("--podman-path").arg(self.podman.program());
        command.args(["--project-name", &self.project]).args(arguments);
        surroundings::run(command)
    }

    /// The ids of a service's containers.
    fn containers(&self, service: &str) -> Result<Vec<String>> {
        let project = format!("label=io.podman.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let arguments = ["ps", "--all", "--quiet", "--filter", &project, "--filter", &service];
        Ok(self.podman.output(&arguments)?.lines().map(str::to_owned).collect())
    }

    /// Waits until a service is well, or has ended well if it is one that ends. Without systemd
    /// nobody else runs the checks.
    fn wait(&self, name: &str) -> Result<()> {
        let ends = self.services[name]["restart"] != "unless-stopped";
        for id in self.containers(name)? {
            if ends {
                let code = self.podman.output(&["wait", &id])?;
                if code.trim() != "0" {
                    bail!("{name} ended with {}: {}", code.trim(), self.log(&id));
                }
                continue;
            }
            // Each look is a process, and takes a while by itself.
            let begun = Instant::now();
            while !self.podman.succeeds(&["healthcheck", "run", &id])? {
                if begun.elapsed() > HEALTH_LIMIT {
                    bail!("{name} is not well: {}", self.log(&id));
                }
            }
        }
        Ok(())
    }

    /// The nodes drain and leave by themselves when they are asked to.
    fn stop_nodes(&self) -> Result<()> {
        for name in self.services.keys().filter(|name| {
            self.services[*name]["image"].as_str().is_some_and(|it| it.starts_with("printmill:"))
        }) {
            for id in self.containers(name)? {
                self.podman.output(&["stop", "--time", "30", &id])?;
                let format = "{{.State.ExitCode}}";
                let code = self.podman.output(&["inspect", "--format", format, &id])?;
                if code.trim() != "0" {
                    bail!("{name} ended with {}: {}", code.trim(), self.log(&id));
                }
            }
        }
        Ok(())
    }

    fn log(&self, id: &str) -> String {
        let output = self.podman.command(&["logs", "--tail", "20", id]).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            },
        )
    }
}

/// The services, each after those that it depends on.
fn in_order(services: &BTreeMap<String, Value>) -> Result<Vec<&str>> {
    let mut order: Vec<&str> = Vec::new();
    while order.len() < services.len() {
        let is_ready = |name: &&str| {
            let needs = services[*name]["depends_on"].as_object();
            needs.is_none_or(|needs| needs.keys().all(|need| order.contains(&need.as_str())))
        };
        let names = services.keys().map(String::as_str);
        let next: Vec<&str> = names.filter(|name| !order.contains(name)).filter(is_ready).collect();
        if next.is_empty() {
            bail!("services depend on each other in a circle, or on one that is not there");
        }
        order.extend(next);
    }
    Ok(order)
}

/// The secrets in a profile's `.env`; removed with this, if it made them.
struct Secrets(Option<PathBuf>);

impl Secrets {
    fn make(folder: &Path) -> Result<Self> {
        let file = folder.join(".env");
        if file.exists() || !folder.join(".env.example").exists() {
            return Ok(Self(None));
        }
        let mut script = Command::new("../secrets.sh");
        script.current_dir(folder);
        surroundings::run(script)?;
        Ok(Self(Some(file)))
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn services(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_service_comes_after_what_it_needs() {
        let services = services(json!({
            "api": {"depends_on": {"bucket": {}, "postgres": {}}},
            "bucket": {"depends_on": {"s3": {}}},
            "postgres": {},
            "s3": {},
        }));
        assert_eq!(in_order(&services).unwrap(), ["postgres", "s3", "bucket", "api"]);
    }

    #[test]
    fn a_circle_is_refused() {
        let services =
            services(json!({"a": {"depends_on": {"b": {}}}, "b": {"depends_on": {"a": {}}}}));
        assert!(in_order(&services).is_err());
    }
}
