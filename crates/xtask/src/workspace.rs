//! What the checks know of the workspace: its root, its crates and who imports whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// One crate of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Crate {
    /// The package's name, such as `printmill-engine`.
    pub(crate) name: String,
    /// Its folder below the workspace's root, with forward slashes: `crates/engine`.
    pub(crate) folder: String,
    /// Our crates that it is built with (normal and build dependencies).
    pub(crate) imports: BTreeSet<String>,
    /// Our crates that only its tests are built with.
    pub(crate) test_imports: BTreeSet<String>,
    /// Its cargo features, those of optional dependencies included.
    pub(crate) features: BTreeSet<String>,
}

/// The workspace's root, whatever folder the command was started in.
pub(crate) fn root() -> PathBuf {
    // Cargo says it at run time, too: a shared target folder may hold a build of another clone.
    let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest_dir = told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest_dir.ancestors().nth(2).unwrap_or(&manifest_dir).to_path_buf()
}

/// Asks cargo for the workspace's crates, sorted by name.
pub(crate) fn crates(root: &Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed: is every Cargo.toml well-formed?")?;
    let names: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut crates = metadata
        .packages
        .iter()
        .map(|package| describe(package, root, &names))
        .collect::<Result<Vec<_>>>()?;
    crates.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(crates)
}

fn describe(package: &Package, root: &Path, ours: &BTreeSet<String>) -> Result<Crate> {
    let folder = package
        .manifest_path
        .parent()
        .and_then(|folder| folder.as_std_path().strip_prefix(root).ok())
        .with_context(|| format!("{} lies outside the workspace", package.manifest_path))?;
    let (mut imports, mut test_imports) = (BTreeSet::new(), BTreeSet::new());
    for dependency in package.dependencies.iter().filter(|it| ours.contains(&it.name)) {
        match dependency.kind {
            DependencyKind::Development => test_imports.insert(dependency.name.clone()),
            _ => imports.insert(dependency.name.clone()),
        };
    }
    Ok(Crate {
        name: package.name.to_string(),
        folder: folder.to_string_lossy().replace('\\', "/"),
        imports,
        test_imports,
        features: package.features.keys().cloned().collect(),
    })
}
