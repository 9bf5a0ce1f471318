//! The Python worker of `examples/python-worker`, with its packages and stubs.

use crate::log::Log;
use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A Python that can run the example.
#[derive(Debug, Clone)]
pub struct Python {
    interpreter: PathBuf,
    stubs: PathBuf,
    example: PathBuf,
}

impl Python {
    /// Sets the example up, in a cache outside of the clone; nothing where there is no Python.
    /// `stubs` is where the stubs of this clone's contract go.
    pub fn prepare(stubs: &Path) -> anyhow::Result<Option<Self>> {
        let found = Command::new("python3").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            ensure!(std::env::var_os("CI").is_none(), "this test needs Python in CI");
            println!("SKIPPED: there is no python3 here");
            return Ok(None);
        }
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/python-worker");
        let requirements = example.join("requirements.txt");
        let wanted = Sha256::digest(std::fs::read(&requirements)?);
        let wanted: String = wanted.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let folder = cache()?.join(format!("python-worker-{wanted}"));
        if !folder.join("ready").is_file() {
            // Another test process may do the same at this moment; the first to finish wins.
            let fresh = folder.with_extension(std::process::id().to_string());
            run(Command::new("python3").args(["-m", "venv"]).arg(&fresh))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
            run(Command::new(fresh.join("bin/python")).args(pip).arg(&requirements))?;
            std::fs::write(fresh.join("ready"), "")?;
            if std::fs::rename(&fresh, &folder).is_err() {
                std::fs::remove_dir_all(&fresh)?;
            }
        }
        let interpreter = folder.join("bin/python");
        run(Command::new(example.join("generate.sh")).arg(&interpreter).arg(stubs))?;
        Ok(Some(Self { interpreter, stubs: stubs.to_owned(), example }))
    }

    /// Starts a worker with a key; it takes so many seconds longer for each ticket.
    pub fn worker(
        &self,
        server: &str,
        key: &str,
        name: &str,
        hold_seconds: u32,
    ) -> anyhow::Result<PythonWorker> {
        let server = server.trim_start_matches("http://");
        let mut child = Command::new(&self.interpreter)
            .arg(self.example.join("worker.py"))
            .args(["--server", server, "--name", name, "--hold", &hold_seconds.to_string()])
            .env("PRINTMILL_KEY", key)
            .env("PRINTMILL_STUBS", &self.stubs)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        Ok(PythonWorker { child, log: Log::follow(output) })
    }
}

/// A running Python worker. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct PythonWorker {
    child: Child,
    /// What it prints.
    pub log: Log,
}

impl PythonWorker {
    /// SIGKILL, as a machine that dies.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for PythonWorker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cache() -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = given.or_else(home).context("there is a home")?.join("printmill");
    std::fs::create_dir_all(&cache)?;
    Ok(cache)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
