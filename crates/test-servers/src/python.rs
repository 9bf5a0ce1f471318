//! Python packages that tests need, in environments of the project's cache.

use crate::find::{cache, program};
use anyhow::{Context, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;

/// The folder of an environment with these packages (as in `moto[server]==5.2.0`), made if there
/// is none; nothing where there is no Python. Its programs are in `bin`.
pub fn environment(name: &str, packages: &[&str]) -> anyhow::Result<Option<PathBuf>> {
    let Some(python) = program("python3") else { return Ok(None) };
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let folder = cache()?.join(format!("{name}-{:012x}", hasher.finish() >> 16));
    if folder.join("ready").is_file() {
        return Ok(Some(folder));
    }
    // An environment knows its own path, so it is made in place, by one process at a time.
    let lock = std::fs::File::create(folder.with_extension("lock"))?;
    lock.lock().context("another process sets the environment up, and it cannot be waited for")?;
    if !folder.join("ready").is_file() {
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(folder.join("bin/python")).args(pip).args(packages))?;
        std::fs::write(folder.join("ready"), "")?;
    }
    Ok(Some(folder))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
