//! RabbitMQ, Debian's: 3.10 in Debian 12. A node of its own, with a port mapper of its own.

use crate::process::free_port;
use crate::shared::{Running, Shared};
use crate::{Process, find, missing, shared};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One for the whole run: it takes seconds to start.
pub const SHARED: Shared = Shared {
    name: "rabbitmq",
    variable: "PRINTMILL_TEST_RABBITMQ",
    packages: &["rabbitmq-server"],
    start: || {
        let started = RabbitMq::start()?;
        Ok(started.map(|it| Running { address: it.address.clone(), guard: Box::new(it) }))
    },
};

/// The start script itself: the one on the path changes the user, and forks.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ server.
pub struct RabbitMq {
    /// Where it is, as in `amqp://guest:guest@127.0.0.1:5672`.
    pub address: String,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
    /// Erlang's port mapper for this node alone; it ends with the server.
    pub mapper: Option<Process>,
}

impl RabbitMq {
    /// The shared server if there is one, else one of its own.
    pub fn find() -> anyhow::Result<Option<Self>> {
        match shared(SHARED.variable) {
            Some(address) => Ok(Some(Self { address, process: None, mapper: None })),
            None => Self::start(),
        }
    }

    /// A server of the test's own, which it may stop, restart and wipe.
    pub fn start() -> anyhow::Result<Option<Self>> {
        Self::configured(|_| Ok(String::new()))
    }

    /// The same, with lines of configuration; files that they name are put into its folder.
    pub fn configured(
        prepare: impl FnOnce(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<Option<Self>> {
        let Some((server, mapper)) = programs()? else { return Ok(None) };
        let mapper = Process::start("epmd", move |_, port| {
            let mut command = Command::new(&mapper);
            command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
            command
        })?;
        let folder = tempfile::Builder::new().prefix("printmill-rabbitmq-").tempdir()?;
        std::fs::write(folder.path().join("rabbitmq.conf"), prepare(folder.path())?)?;
        std::fs::write(folder.path().join("plugins"), "[].\n")?;
        let (mapper_port, between_nodes) = (mapper.port(), free_port()?);
        let process = Process::start_in(folder, move |folder, port| {
            node(&server, folder, [port, between_nodes, mapper_port])
        })?;
        let address = format!("amqp://guest:guest@127.0.0.1:{}", process.port());
        Ok(Some(Self { address, process: Some(process), mapper: Some(mapper) }))
    }
}

/// A node that listens on loopback only, and keeps everything in its folder.
fn node(server: &Path, folder: &Path, [port, between_nodes, mapper]: [u16; 3]) -> Command {
    let mut command = Command::new(server);
    let name = format!("printmill-{port}@localhost");
    let numbers = [
        ("RABBITMQ_NODE_PORT", port),
        ("RABBITMQ_DIST_PORT", between_nodes),
        ("ERL_EPMD_PORT", mapper),
    ];
    let places = [
        ("HOME", ""),
        ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
        ("RABBITMQ_CONF_ENV_FILE", "environment"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
        ("RABBITMQ_MNESIA_BASE", "store"),
        ("RABBITMQ_LOG_BASE", "logs"),
        ("RABBITMQ_PID_FILE", "pid"),
        ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
        ("RABBITMQ_SCHEMA_DIR", "schema"),
    ];
    command
        .env("RABBITMQ_NODENAME", name)
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_LOGS", "-")
        // The script becomes the server, instead of standing between it and its signals.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2",
        )
        .envs(numbers.map(|(name, number)| (name, number.to_string())))
        .envs(places.map(|(name, place)| (name, folder.join(place))))
        .current_dir(folder);
    command
}

/// Where a server keeps its queues.
pub fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// Whether there is one, or a shared one.
pub fn installed() -> anyhow::Result<bool> {
    Ok(shared(SHARED.variable).is_some() || programs()?.is_some())
}

fn programs() -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let server = Some(Path::new(SCRIPTS).join("rabbitmq-server")).filter(|path| path.is_file());
    let found = server.zip(find::program("epmd"));
    if found.is_none() {
        missing("rabbitmq-server", "apt-get install rabbitmq-server")?;
    }
    Ok(found)
}
