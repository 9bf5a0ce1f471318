//! PostgreSQL, of whatever version is installed.

use crate::shared::{Running, Shared};
use crate::template::{command_as, copy, run};
use crate::{Process, find, missing, shared};
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One for the whole run: each case has a database to itself.
pub const SHARED: Shared = Shared {
    name: "postgres",
    variable: "PRINTMILL_TEST_POSTGRES",
    packages: &["postgresql"],
    start: || {
        let started = Postgres::start(&[])?;
        Ok(started.map(|it| Running { address: it.address.clone(), guard: Box::new(it) }))
    },
};

/// Who servers of databases run as when tests run as root.
const USER: &str = "postgres";
/// The password of the user `postgres` on servers of a test's own.
pub const PASSWORD: &str = "printmill";

/// How long a server may take from the first connection to the first answer.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A PostgreSQL server.
pub struct Postgres {
    /// Where its first database is, as in `postgres://postgres:printmill@127.0.0.1:5432/postgres`.
    pub address: String,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
}

impl Postgres {
    /// The shared server if there is one; else one of its own.
    pub fn find() -> anyhow::Result<Option<Self>> {
        match shared(SHARED.variable) {
            Some(address) => Ok(Some(Self { address, process: None })),
            None => Self::start(&[]),
        }
    }

    /// A server of the test's own with settings (as in `ssl=on`), which it may stop and restart.
    pub fn start(settings: &[&str]) -> anyhow::Result<Option<Self>> {
        Self::start_prepared(settings, |_| Ok(()))
    }

    /// The same, with something done to its data folder first: certificates put there, say.
    pub fn start_prepared(
        settings: &[&str],
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(server), Some(initdb)) = (program("postgres"), program("initdb")) else {
            missing("postgres", "apt-get install postgresql")?;
            return Ok(None);
        };
        // Text compares as people of some language expect: keys must not depend on it.
        let folder = copy("postgres-data-1", USER, |data| {
            let password = data.with_extension("password");
            std::fs::write(&password, PASSWORD)?;
            let mut command = command_as(USER, &initdb);
            command.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--pwfile"]);
            command.arg(&password).args(["--locale=C.UTF-8", "--locale-provider=icu"]);
            run(command.arg("--icu-locale=en").arg("-D").arg(data))
        })?;
        prepare(&folder.path().join("data"))?;
        let settings: Vec<String> = settings.iter().map(|it| String::from(*it)).collect();
        let process = Process::start_in(folder, move |folder, port| {
            let mut command = command_as(USER, &server);
            command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
            let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
            let more = ["max_connections=200", "log_min_messages=warning"];
            let settings = settings.iter().map(String::as_str);
            for setting in fixed.into_iter().chain(more).chain(settings) {
                command.args(["-c", setting]);
            }
            command
        })?;
        let port = process.port();
        wait_until_ready(port)?;
        let address = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/postgres");
        Ok(Some(Self { address, process: Some(process) }))
    }

    /// Starts a server of the test's own again, and waits until it serves.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.resume()?;
        wait_until_ready(process.port())
    }

    /// The address of another of its databases.
    pub fn database(&self, name: &str) -> String {
        let server = self.address.rsplit_once('/').map_or(&*self.address, |(server, _)| server);
        format!("{server}/{name}")
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql");
    find::program_below(versions, "bin", name).or_else(|| find::program(name))
}

/// It takes connections before it serves them.
fn wait_until_ready(port: u16) -> anyhow::Result<()> {
    let Some(asking) = program("pg_isready") else { return Ok(()) };
    let begun = Instant::now();
    loop {
        let mut command = Command::new(&asking);
        command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        if command.status()?.success() {
            return Ok(());
        }
        if begun.elapsed() > READY_LIMIT {
            bail!("the server takes connections, and does not serve them");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

impl Drop for Postgres {
    /// A server that is killed would leave its shared memory behind.
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.interrupt();
        }
    }
}
