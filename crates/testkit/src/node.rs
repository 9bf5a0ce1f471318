//! A node as a real process: started, watched, stopped, killed.

use crate::log::Log;
use anyhow::{Context, bail, ensure};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// How long a node may take to serve.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The byte that writers lock in the index of an SQLite file's log.
const SQLITE_WRITERS: u64 = 120;

/// A directory and a port that nodes share one after the other, or role by role.
#[derive(Debug)]
pub struct Place {
    directory: Arc<tempfile::TempDir>,
    data: String,
    settings: Vec<(String, String)>,
    /// The port that the api listens on.
    pub port: u16,
}

impl Place {
    /// A fresh place.
    pub fn new() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("printmill-test-").tempdir()?;
        let (directory, data, settings) = (Arc::new(directory), "data".into(), vec![]);
        Ok(Self { directory, data, settings, port: free_port()? })
    }

    /// Sets a variable for all nodes and commands of this place.
    pub fn set(&mut self, variable: &str, value: impl Into<String>) {
        self.settings.push((variable.into(), value.into()));
    }

    /// A place with the same settings, a port of its own, and the data folder named.
    pub fn neighbour(&self, data: &str) -> anyhow::Result<Self> {
        let (directory, settings) = (self.directory.clone(), self.settings.clone());
        Ok(Self { directory, data: data.into(), settings, port: free_port()? })
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join(&self.data)
    }

    /// A path beside the data directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The address of the api.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A command of the binary that works in this place.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("PRINTMILL_DATA", self.data())
            .env("PRINTMILL_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("PRINTMILL_LOG_FORMAT", "json")
            .env("PRINTMILL_SERVER", self.address())
            .env("NO_COLOR", "1")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .env_remove("PRINTMILL_CHAOS_KILLS")
            .env_remove("PRINTMILL_BIN")
            .stdin(Stdio::null());
        // What tells tests of seeds and servers is no setting of a node.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PRINTMILL_TEST_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a command to its end; what it printed as JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let output = self.command(arguments).stderr(Stdio::piped()).output()?;
        ensure!(
            output.status.success(),
            "printmill {arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("{arguments:?} printed {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// A new merchant's key.
    pub fn merchant_key(&self, name: &str) -> anyhow::Result<String> {
        let made = self.json(&["keys", "create", "--new-merchant", name, "--json"])?;
        Ok(made["key"].as_str().context("keys create gives a key")?.to_owned())
    }

    /// A key for a facility.
    pub fn facility_key(&self, facility: &str) -> anyhow::Result<String> {
        let made = self.json(&["keys", "create", "--facility", facility, "--json"])?;
        Ok(made["key"].as_str().context("keys create gives a key")?.to_owned())
    }

    /// A key for workers of a kind in a lane.
    pub fn worker_key(&self, kind: &str, lane: &str) -> anyhow::Result<String> {
        let made = self.json(&["keys", "create", "--worker", kind, "--lane", lane, "--json"])?;
        Ok(made["key"].as_str().context("keys create gives a key")?.to_owned())
    }

    /// A key for an operator.
    pub fn operator_key(&self) -> anyhow::Result<String> {
        let made = self.json(&["keys", "create", "--operator", "--json"])?;
        Ok(made["key"].as_str().context("keys create gives a key")?.to_owned())
    }

    /// The ids of all facilities.
    pub fn facilities(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.json(&["facility", "list", "--json"])?;
        let facilities = listed.as_array().context("facility list gives a list")?;
        Ok(facilities.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect())
    }
}

/// A running node. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// What it logs.
    pub log: Log,
}

impl Node {
    /// Starts an all-in-one node and waits until it serves.
    pub async fn up(place: &Place) -> anyhow::Result<Self> {
        let node = Self::spawn(place, &["up"])?;
        node.wait_until_serving(place).await?;
        Ok(node)
    }

    /// Starts some roles. Waits until it serves if it has the api.
    pub async fn serve(place: &Place, roles: &str) -> anyhow::Result<Self> {
        let node = Self::spawn(place, &["serve", "--roles", roles])?;
        if roles.contains("api") {
            node.wait_until_serving(place).await?;
        }
        Ok(node)
    }

    /// Starts a command without waiting for anything.
    pub fn spawn(place: &Place, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let output = child.stderr.take().context("the node's log is piped")?;
        Ok(Self { child, log: Log::follow(output) })
    }

    /// Waits until the api of a place answers.
    pub async fn wait_until_serving(&self, place: &Place) -> anyhow::Result<()> {
        let serving = async {
            loop {
                if tokio::net::TcpStream::connect(("127.0.0.1", place.port)).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(START_LIMIT, serving).await.is_err() {
            bail!("the node does not serve: {}", self.log.text());
        }
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as a machine that dies.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.kill_now()
    }

    /// SIGKILL, and what it logged can still be read.
    pub fn kill_now(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGSTOP, as a machine that stands still; it does by the time this returns.
    pub fn pause(&self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, WaitOptions, waitpid};
        self.signal(Signal::STOP)?;
        waitpid(Pid::from_raw(i32::try_from(self.pid())?), WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// Whether a node that stands still does so while it writes to an SQLite file, which keeps all
    /// others from writing to that file: it holds the lock of the log's index that writers take.
    pub fn holds_write_lock(&self) -> anyhow::Result<bool> {
        let locks = std::fs::read_to_string("/proc/locks")?;
        let pid = self.pid().to_string();
        // As in `1: POSIX  ADVISORY  WRITE 4711 08:01:262207 120 120`.
        Ok(locks.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, "POSIX", _, "WRITE", of, _, first, last] = words[..] else { return false };
            let locked = first.parse().ok()..=last.parse().ok();
            of == pid && locked.contains(&Some(SQLITE_WRITERS))
        }))
    }

    /// SIGCONT: it goes on where it was.
    pub fn unpause(&self) -> anyhow::Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a process has an id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(mut self) -> anyhow::Result<i32> {
        self.signal(rustix::process::Signal::TERM)?;
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
        status.code().context("the node was killed by a signal")
    }

    /// Waits for it to end by itself; its exit code.
    pub async fn ended(mut self) -> anyhow::Result<(i32, Log)> {
        let log = self.log.clone();
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
        log.finished().await;
        Ok((status.code().unwrap_or(-1), log))
    }

    /// Memory in KiB: now resident, and the most that ever was.
    pub fn memory_kib(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let value = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find(|line| line.starts_with(name)).context("in status")?;
            let number = line.split_whitespace().nth(1).context("has a number")?;
            Ok(number.parse()?)
        };
        Ok((value("VmRSS:")?, value("VmHWM:")?))
    }

    /// Processor time used so far.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').context("in stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGKILL of a process that is not a node of the test's own, as a worker that one started.
pub fn kill_process(pid: u32) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("an id of a process")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
}

/// A port that nobody listens on just now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The `printmill` binary of the same build as the test: `PRINTMILL_BIN`, or beside the test's
/// own executable.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("PRINTMILL_BIN") {
        return given.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let found = own.ancestors().map(|directory| directory.join("printmill")).find(|p| p.is_file());
    found.unwrap_or_else(|| Path::new("printmill").to_owned())
}
