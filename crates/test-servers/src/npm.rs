//! Packages of npm that tests need, in folders of the project's cache.

use crate::find::{cache, program};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Command;

/// The folder of modules with this package in it, installed if it is not there, without running its
/// scripts; nothing where there is no npm.
pub fn package(name: &str, version: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(npm) = program("npm") else { return Ok(None) };
    let folder = cache()?.join(format!("{name}-{version}"));
    let (modules, ready) = (folder.join("node_modules"), folder.join("ready"));
    if ready.is_file() {
        return Ok(Some(modules));
    }
    std::fs::create_dir_all(&folder)?;
    let lock = cache()?.join(format!("{name}-{version}.lock"));
    let lock = std::fs::File::create(lock)?;
    lock.lock().context("another process installs the package, and it cannot be waited for")?;
    if !ready.is_file() {
        let mut install = Command::new(npm);
        install.args(["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
        install.arg("--prefix").arg(&folder).arg(format!("{name}@{version}"));
        let output = install.output()?;
        if !output.status.success() {
            bail!("npm failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::fs::write(&ready, "")?;
    }
    Ok(Some(modules))
}
