//! Images in the place of those that the profiles name: the same servers, from Debian's packages,
//! PyPI and crates.io, under the same names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use printmill_test_servers::find;

use super::podman::Podman;
use crate::surroundings::{run, run_within};

const GARAGE_VERSION: &str = "2.5.0";
const GARAGE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// An image that is made here.
pub(super) struct StandIn {
    /// What it stands in for.
    pub(super) image: &'static str,
    recipe: &'static str,
    /// Puts what the recipe copies into its context.
    prepare: fn(&Path) -> Result<()>,
}

/// What the Dockerfile builds in.
pub(super) const RUST: &StandIn = &StandIn {
    image: "docker.io/library/rust:1.95.0-slim-bookworm",
    recipe: include_str!("rust.containerfile"),
    prepare: copy_toolchain,
};

/// The servers of the profiles.
const SERVERS: &[StandIn] = &[
    StandIn {
        image: "docker.io/library/postgres:17.11-bookworm",
        recipe: include_str!("postgres.containerfile"),
        prepare: |context| {
            let entrypoint = include_str!("postgres-entrypoint.sh");
            Ok(std::fs::write(context.join("postgres-entrypoint.sh"), entrypoint)?)
        },
    },
    StandIn {
        image: "docker.io/library/nats:2.12.8-alpine",
        recipe: include_str!("nats.containerfile"),
        prepare: |_| Ok(()),
    },
    StandIn {
        image: "docker.io/motoserver/moto:5.2.3",
        recipe: include_str!("moto.containerfile"),
        prepare: |_| Ok(()),
    },
    StandIn {
        image: "docker.io/dxflrs/garage:v2.4.1",
        recipe: include_str!("garage.containerfile"),
        prepare: |context| {
            std::fs::copy(garage()?, context.join("garage"))?;
            Ok(())
        },
    },
];

/// The stand-in for an image as a compose file names it, if it has one.
pub(super) fn of(image: &str) -> Option<&'static StandIn> {
    let short = |full: &'static str| {
        let name = full.strip_prefix("docker.io/").unwrap_or(full);
        name.strip_prefix("library/").unwrap_or(name)
    };
    SERVERS.iter().find(|stand_in| short(stand_in.image) == image)
}

/// Makes an image unless it is there.
pub(super) fn provide(podman: &Podman, stand_in: &StandIn) -> Result<()> {
    if podman.has_image(stand_in.image)? {
        return Ok(());
    }
    let context = tempfile::tempdir()?;
    std::fs::write(context.path().join("Containerfile"), stand_in.recipe)?;
    (stand_in.prepare)(context.path())?;
    let version = stand_in.image.rsplit_once(':').map_or("", |(_, version)| version);
    let mut command = podman.build(stand_in.image);
    command.arg("--quiet").arg("--build-arg").arg(format!("VERSION={version}"));
    command.arg(context.path());
    run(command).with_context(|| format!("cannot make a stand-in for {}", stand_in.image))
}

/// Copies this machine's compiler, and what it needs to build, not to document or to format.
fn copy_toolchain(context: &Path) -> Result<()> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let toolchain = context.join("toolchain");
    std::fs::create_dir_all(toolchain.join("bin"))?;
    for program in ["bin/cargo", "bin/rustc"] {
        std::fs::copy(sysroot.join(program), toolchain.join(program))?;
    }
    let mut copy = Command::new("cp");
    copy.arg("--recursive").arg(sysroot.join("lib")).arg(&toolchain);
    run(copy)
}

/// The program of Garage, built if it is not installed: a quarter of an hour.
fn garage() -> Result<PathBuf> {
    if let Some(program) = find::program("garage") {
        return Ok(program);
    }
    let tools = find::cache()?.join("tools");
    let mut command = Command::new("cargo");
    command.args(["install", "--locked", "garage", "--version", GARAGE_VERSION, "--root"]);
    command.arg(&tools).env_remove("CARGO_TARGET_DIR");
    run_within(command, GARAGE_LIMIT).context("cannot install garage")?;
    Ok(tools.join("bin/garage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_the_profiles_has_a_stand_in() {
        let root = crate::workspace::root();
        for profile in crate::containers::PROFILES {
            let path = root.join("compose").join(profile).join("compose.yaml");
            let text = std::fs::read_to_string(path).unwrap();
            let images = text.lines().filter_map(|line| line.trim().strip_prefix("image: "));
            for image in images.filter(|image| !image.starts_with("printmill:")) {
                assert!(of(image).is_some(), "{profile}: {image}");
            }
        }
        let dockerfile = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
        let base = RUST.image.strip_prefix("docker.io/library/").unwrap();
        assert!(dockerfile.contains(&format!("FROM {base} ")), "{base}");
    }
}
