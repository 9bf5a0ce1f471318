//! A server as a process of a test's own: started, stopped, started again, killed at the end.

use anyhow::{Context, bail};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to serve, and to end.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// How to start a server in a folder on a port.
type Start = Box<dyn Fn(&Path, u16) -> Command + Send + Sync>;

/// A running server, in a folder of its own. It is killed when it goes out of scope.
pub struct Process {
    child: Option<Child>,
    folder: tempfile::TempDir,
    port: u16,
    start: Start,
}

impl Process {
    /// Starts a server on a free loopback port and waits until it takes connections.
    pub fn start(
        name: &str,
        start: impl Fn(&Path, u16) -> Command + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("printmill-{name}-")).tempdir()?;
        Self::start_in(folder, start)
    }

    /// The same, in a folder that was prepared.
    pub fn start_in(
        folder: tempfile::TempDir,
        start: impl Fn(&Path, u16) -> Command + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut process = Self { child: None, folder, port, start: Box::new(start) };
        process.resume()?;
        Ok(process)
    }

    /// The port that it listens on, also after it was started again.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it printed, for messages.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts it again where it was, and waits until it takes connections.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = (self.start)(self.folder.path(), self.port);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        self.child = Some(child);
        self.wait_until_open()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.end(rustix::process::Signal::TERM)
    }

    /// SIGINT, which some servers take for "at once, but in order".
    pub fn interrupt(&mut self) -> anyhow::Result<()> {
        self.end(rustix::process::Signal::INT)
    }

    /// SIGQUIT, which PostgreSQL takes for "at once, in no order": as after a crash it starts with
    /// a recovery.
    pub fn quit(&mut self) -> anyhow::Result<()> {
        self.end(rustix::process::Signal::QUIT)
    }

    /// SIGKILL, as a machine that dies.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.end(rustix::process::Signal::KILL)
    }

    fn end(&mut self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal)?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > STOP_LIMIT {
                child.kill()?;
                child.wait()?;
                bail!("the server did not end by {signal:?}: {}", self.log());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn wait_until_open(&mut self) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, START_LIMIT).is_err() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("the server ended with {status}: {}", self.log());
            }
            if begun.elapsed() > START_LIMIT {
                bail!("the server takes no connections: {}", self.log());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until somebody takes connections on a further port of a server.
pub fn wait_for(port: u16) -> anyhow::Result<()> {
    let (address, begun) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Instant::now());
    while TcpStream::connect_timeout(&address, START_LIMIT).is_err() {
        if begun.elapsed() > START_LIMIT {
            bail!("nobody takes connections on port {port}");
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// A port that nobody listens on just now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
