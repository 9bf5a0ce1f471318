//! Real servers for tests: installed where they are missing, started once for a whole run.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use printmill_test_servers::shared::{ALL, Running};
use printmill_test_servers::{find, s3s_fs};

use crate::surroundings::{run, run_within};

const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// While this says no, Debian's packages do not start what they install.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Install Debian's packages of all that are missing, which needs root, and s3s-fs.
    Install,
    /// Start each, run a command that finds them in PRINTMILL_TEST_…, and stop them.
    Run {
        /// The command, after `--`.
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Does it.
pub(crate) fn task(task: Task) -> Result<()> {
    match task {
        Task::Install => install(),
        Task::Run { command } => {
            let servers = Servers::start()?;
            let [program, arguments @ ..] = &command[..] else { return Ok(()) };
            let mut command = Command::new(program);
            command.args(arguments);
            servers.run(command)
        }
    }
}

/// Installs what is missing, or says why it does not.
pub(crate) fn install() -> Result<()> {
    install_packages()?;
    install_s3s_fs()
}

/// The S3 server that verifies signatures comes from crates.io: three minutes, once.
fn install_s3s_fs() -> Result<()> {
    if find::program("s3s-fs").is_some() {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args(["install", "--locked", s3s_fs::CRATE, "--features", "binary", "--root"]);
    command.arg(find::cache()?.join("tools")).env_remove("CARGO_TARGET_DIR");
    run_within(command, INSTALL_LIMIT).context("cannot install s3s-fs")
}

fn install_packages() -> Result<()> {
    let packages: Vec<&str> = ALL.iter().flat_map(|server| server.packages).copied().collect();
    install_debian(&packages)
}

/// Installs those of Debian's packages that are missing, or says why it does not; what they bring
/// is not started.
pub(crate) fn install_debian(packages: &[&str]) -> Result<()> {
    let mut packages = packages.to_vec();
    packages.retain(|package| !installed(package));
    if packages.is_empty() {
        return Ok(());
    }
    let packages_shown = packages.join(" ");
    if find::program("apt-get").is_none() || !is_root() {
        println!("SKIPPED: needs root on Debian or Ubuntu: apt-get install {packages_shown}");
        return Ok(());
    }
    let policy = Path::new(POLICY);
    let quiet = !policy.exists();
    if quiet {
        write_policy(policy)?;
    }
    let installed = apt(&["update", "--quiet"]).and_then(|()| {
        apt(&[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat())
    });
    if quiet {
        std::fs::remove_file(policy)?;
    }
    installed.with_context(|| format!("cannot install {packages_shown}"))
}

fn installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).output();
    status.is_ok_and(|output| output.stdout.ends_with(b"ok installed"))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn write_policy(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, "#!/bin/sh\nexit 101\n")?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    run_within(command, INSTALL_LIMIT)
}

/// One of each server, until this is dropped. Those that the environment names run already.
pub(crate) struct Servers {
    running: Vec<(&'static str, Running)>,
}

impl Servers {
    /// Starts those that are installed. In CI a missing one is a failure.
    pub(crate) fn start() -> Result<Self> {
        let mut running = vec![];
        for server in ALL {
            if printmill_test_servers::shared(server.variable).is_some() {
                continue;
            }
            let started = (server.start)();
            if let Some(started) =
                started.with_context(|| format!("cannot start {}", server.name))?
            {
                println!("    {}={}", server.variable, started.address);
                running.push((server.variable, started));
            }
        }
        Ok(Self { running })
    }

    /// Runs a command that finds the servers.
    pub(crate) fn run(&self, mut command: Command) -> Result<()> {
        let addresses = self.running.iter().map(|(name, running)| (name, &running.address));
        command.envs(addresses);
        run(command)
    }
}
