//! House rules that no compiler checks: lengths, names, opening lines, log messages, sleeps.

mod source;
mod tokens;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Findings;
use crate::workspace;

/// Folders that hold no source of ours.
const SKIPPED: [&str; 3] = ["target", "node_modules", "printmill-data"];

/// Checks every Rust file and every crate's manifest below `root`.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut files = Vec::new();
    collect_rust_files(root, &mut files)?;
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        findings.extend(source::check(&path, &text));
    }
    for it in workspace::crates(root)? {
        let path = format!("{}/Cargo.toml", it.folder);
        let text = std::fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        findings.extend(check_manifest(&path, &text));
    }
    Ok(findings)
}

fn collect_rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                collect_rust_files(&path, files)?;
            }
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    Ok(())
}

fn check_manifest(path: &str, text: &str) -> Findings {
    let mut findings = Findings::default();
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            findings.add(format!("{path}: {}", error.message()));
            return findings;
        }
    };
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool)
        .unwrap_or(false);
    if !inherits {
        findings.add(format!("{path}: add `[lints]` with `workspace = true`"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_inherits_the_workspace_lints() {
        let fault = |text| check_manifest("crates/x/Cargo.toml", text).faults().len();
        assert_eq!(fault("[lints]\nworkspace = true\n"), 0);
        assert_eq!(fault("lints.workspace = true\n"), 0);
        assert_eq!(fault("[lints]\nworkspace = false\n"), 1);
        assert_eq!(fault("[package]\nname = \"x\"\n"), 1);
        assert_eq!(fault("[package\n"), 1);
    }

    #[test]
    fn the_workspace_is_tidy() -> Result<()> {
        check(&workspace::root())?.into_result()
    }
}
