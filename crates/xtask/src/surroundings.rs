//! Where the checks run: folders, environment, and the tools that are at hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wait_timeout::ChildExt;

/// The folders and the environment that every step shares.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The workspace's root.
    pub(crate) root: PathBuf,
    /// Whether this is CI, where a missing tool is installed instead of skipped.
    pub(crate) in_ci: bool,
    /// Build results, outside the clone unless `CARGO_TARGET_DIR` says otherwise.
    target: PathBuf,
    /// Where tools are installed: `bin` below it goes on the path.
    tools: PathBuf,
    path: OsString,
}

impl Surroundings {
    /// Reads the environment: `CI`, `CARGO_TARGET_DIR`, `XDG_CACHE_HOME`, `HOME`, `PATH`.
    pub(crate) fn find(root: PathBuf) -> Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = match (variable("XDG_CACHE_HOME"), variable("HOME")) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => Path::new(&home).join(".cache"),
            (None, None) => root.join("target/cache"),
        }
        .join("printmill");
        let target = match variable("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(target)?,
            None => cache.join("target"),
        };
        let tools = cache.join("tools");
        let inherited = variable("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(tools.join("bin")).chain(std::env::split_paths(&inherited)),
        )
        .context("PATH cannot be extended")?;
        let in_ci = variable("CI").is_some_and(|value| value != "false" && value != "0");
        Ok(Self { root, in_ci, target, tools, path })
    }

    /// `cargo` with these arguments, started in the root, with the shared build folder.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("PATH", &self.path)
            .stdin(Stdio::null());
        command
    }

    /// Whether `cargo <tool>` is installed.
    pub(crate) fn has(&self, tool: &str) -> bool {
        self.cargo(&[tool, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Installs a cargo tool into the cache, within the time given.
    pub(crate) fn install(&self, tool: &str, version: &str, limit: Duration) -> Result<()> {
        println!("    installing {tool} {version} into {}", self.tools.display());
        let mut command =
            self.cargo(&["install", "--locked", tool, "--version", version, "--root"]);
        // Its own build folder: the tool's crates have nothing to do with ours.
        command.arg(&self.tools).env_remove("CARGO_TARGET_DIR");
        run_within(command, limit).with_context(|| format!("cannot install {tool}"))
    }
}

/// Runs a command and fails unless it ends well.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    println!("    {shown}");
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and fails unless it ends well within the time given.
pub(crate) fn run_within(mut command: Command, limit: Duration) -> Result<()> {
    let shown = shown(&command);
    let mut child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    match child.wait_timeout(limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{shown}` failed: {status}"),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("`{shown}` took longer than {} s", limit.as_secs())
        }
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let mut endless = Command::new("tail");
        endless.args(["-f", "/dev/null"]);
        let error = run_within(endless, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error}");
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let mut listing = Command::new("ls");
        listing.arg("/no/such/folder").stderr(Stdio::null());
        let error = run(listing).unwrap_err();
        assert!(error.to_string().contains("ls /no/such/folder"), "{error}");
    }
}
