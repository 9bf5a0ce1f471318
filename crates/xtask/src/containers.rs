//! Real containers, with no registry: the image built from its Dockerfile, and the compose profiles
//! brought up with Podman, from images that are made here of Debian's packages.

mod podman;
mod profile;
mod stand_ins;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::surroundings::{Surroundings, run};
use podman::Podman;

/// The image, as the compose files name it.
const IMAGE: &str = concat!("printmill:", env!("CARGO_PKG_VERSION"));
/// The profiles that are run if none is named.
const PROFILES: [&str; 3] = ["local", "minio-nats-postgres", "aws"];

/// What to do with them. Needs root on Debian.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Build the image from the Dockerfile.
    Build {
        /// The features of the program.
        #[arg(long, default_value = "full")]
        features: String,
    },
    /// Bring profiles up, let the demo's order go all the way on each, and take them down.
    Run {
        /// `local`, `minio-nats-postgres`, `aws`; all of them if none is named.
        profiles: Vec<String>,
        /// Leave them running.
        #[arg(long)]
        keep: bool,
    },
    /// Remove all that this made: images, containers, volumes.
    Clean,
}

/// Does it.
pub(crate) fn task(around: &Surroundings, task: Task) -> Result<()> {
    let podman = Podman::set_up(folder()?)?;
    match task {
        Task::Build { features } => build(around, &podman, &features),
        Task::Run { profiles, keep } => {
            if !podman.has_image(IMAGE)? {
                build(around, &podman, "full")?;
            }
            let all = PROFILES.map(str::to_owned).to_vec();
            for name in if profiles.is_empty() { all } else { profiles } {
                if !PROFILES.contains(&name.as_str()) {
                    bail!("there is no profile `{name}`; there are: {}", PROFILES.join(", "));
                }
                profile::run(around, &podman, &name, keep)?;
            }
            Ok(())
        }
        Task::Clean => podman.remove(),
    }
}

fn folder() -> Result<PathBuf> {
    Ok(printmill_test_servers::find::cache()?.join("containers"))
}

fn build(around: &Surroundings, podman: &Podman, features: &str) -> Result<()> {
    stand_ins::provide(podman, stand_ins::RUST)?;
    let begun = Instant::now();
    let mut command = podman.build(IMAGE);
    command.arg("--build-arg").arg(format!("FEATURES={features}")).arg(&around.root);
    run(command)?;
    let size = podman.output(&["image", "inspect", "--format", "{{.Size}}", IMAGE])?;
    let megabytes = size.trim().parse::<u64>().unwrap_or_default() / 1_000_000;
    println!("    {IMAGE}: {megabytes} MB, built in {} s", begun.elapsed().as_secs());
    Ok(())
}
