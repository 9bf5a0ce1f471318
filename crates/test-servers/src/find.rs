//! Where programs are: on the path, where Debian hides servers, and in the project's cache.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// Folders of programs that are not on everybody's path.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"];

/// A program by its name, if it is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = cache().ok().map(|cache| cache.join("tools/bin"));
    let folders = tools.into_iter().chain(std::env::split_paths(&path));
    let mut folders = folders.chain(FOLDERS.iter().map(PathBuf::from));
    folders.find_map(|folder| executable(&folder, name))
}

/// A program in one of the folders below `parent`, the one with the greatest name first: Debian
/// keeps one folder for each version of PostgreSQL.
pub fn program_below(parent: &Path, inside: &str, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(parent).ok()?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders.into_iter().rev().find_map(|folder| executable(&folder.join(inside), name))
}

fn executable(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    path.is_file().then_some(path)
}

/// The project's cache, outside of every clone.
pub fn cache() -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = given.or_else(home).context("there is a home")?.join("printmill");
    std::fs::create_dir_all(&cache)?;
    Ok(cache)
}
