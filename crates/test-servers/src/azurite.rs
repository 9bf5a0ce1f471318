//! Azurite: Azure Blob Storage on a folder, from npm.

use crate::shared::{Running, Shared};
use crate::{Process, find, missing, npm, shared};
use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "3.37.0";
/// The account that it knows, as documented.
pub const ACCOUNT: &str = "devstoreaccount1";
/// The key of that account, as documented: no secret.
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An Azurite server.
pub struct Azurite {
    /// The account's address, as in `http://127.0.0.1:10000/devstoreaccount1`.
    pub address: String,
    /// The port that it listens on.
    pub port: u16,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
}

impl Azurite {
    /// The shared server if there is one, as in
    /// `PRINTMILL_TEST_AZURITE=http://127.0.0.1:10000`; else one of its own.
    pub fn find() -> anyhow::Result<Option<Self>> {
        let Some(server) = shared("PRINTMILL_TEST_AZURITE") else { return Self::start() };
        let server = server.trim_end_matches('/');
        let port = server.rsplit(':').next().unwrap_or_default().parse()?;
        Ok(Some(Self { address: format!("{server}/{ACCOUNT}"), port, process: None }))
    }

    /// A server of the test's own.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some((node, script)) = program()? else {
            missing("azurite", "install node and npm; the rest comes from npm")?;
            return Ok(None);
        };
        let process = Process::start("azurite", move |folder, port| {
            let mut command = Command::new(&node);
            command.arg(&script).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--skipApiVersionCheck", "--disableTelemetry", "--location"]).arg(folder);
            command
        })?;
        let port = process.port();
        let address = format!("http://127.0.0.1:{port}/{ACCOUNT}");
        Ok(Some(Self { address, port, process: Some(process) }))
    }
}

/// Node and Azurite's script, installed into the project's cache if it is not there.
fn program() -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let Some(node) = find::program("node") else { return Ok(None) };
    let modules = npm::package("azurite", VERSION)?;
    Ok(modules.map(|modules| (node, modules.join("azurite/dist/src/blob/main.js"))))
}

/// Azurite, for a whole run of tests.
pub const SHARED: Shared = Shared {
    name: "azurite",
    variable: "PRINTMILL_TEST_AZURITE",
    packages: &[],
    start: || {
        let started = Azurite::start()?;
        Ok(started.map(|azurite| Running {
            address: format!("http://127.0.0.1:{}", azurite.port),
            guard: Box::new(azurite),
        }))
    },
};
