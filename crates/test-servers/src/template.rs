//! Data folders of servers, made once, kept in the cache and copied for each server.

use crate::find::cache;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary folder with a copy of a server's fresh data in `data`, owned by the user that the
/// server runs as. `make` fills such a folder when there is none in the cache yet.
pub(crate) fn copy(
    name: &str,
    user: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("printmill-server-").tempdir()?;
    let data = folder.path().join("data");
    let kept = kept(name, user, make)?;
    run(Command::new("cp").arg("-a").arg(&kept).arg(&data))?;
    own(folder.path(), user)?;
    Ok(folder)
}

fn kept(
    name: &str,
    user: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let kept = cache()?.join(name);
    let lock = std::fs::File::create(kept.with_extension("lock"))?;
    lock.lock().context("another process makes the folder, and it cannot be waited for")?;
    if !kept.is_dir() {
        let fresh = tempfile::Builder::new().prefix("printmill-server-").tempdir()?;
        own(fresh.path(), user)?;
        make(&fresh.path().join("data"))?;
        let half = kept.with_extension("half");
        let _ = std::fs::remove_dir_all(&half);
        run(Command::new("cp").arg("-a").arg(fresh.path().join("data")).arg(&half))?;
        std::fs::rename(half, &kept)?;
    }
    Ok(kept)
}

/// Whether servers must be started as somebody else: those of databases refuse to run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs as `user`, if this process may not be what it runs as.
pub(crate) fn command_as(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(program);
    command
}

fn own(folder: &Path, user: &str) -> anyhow::Result<()> {
    if is_root() {
        run(Command::new("chown").arg("-R").arg(format!("{user}:")).arg(folder))?;
    }
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        let (out, error) = (&output.stdout, &output.stderr);
        let said = [String::from_utf8_lossy(out), String::from_utf8_lossy(error)].join("\n");
        bail!("{command:?} failed: {said}");
    }
    Ok(())
}
