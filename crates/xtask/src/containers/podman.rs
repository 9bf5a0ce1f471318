//! Podman with a store of its own, that works also where there is no systemd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::servers;
use crate::surroundings::run;

/// What makes and runs containers on Debian.
const PACKAGES: [&str; 7] =
    ["podman", "runc", "netavark", "aardvark-dns", "iptables", "catatonit", "debootstrap"];
/// `crun` and systemd's control groups ask for more than every machine has.
const CONFIGURATION: &str = "\
[containers]
default_ulimits = [\"nofile=20000:20000\", \"nproc=10000:10000\"]
cgroups = \"enabled\"
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";
/// The image that all others here are made of.
pub(super) const DEBIAN: &str = "localhost/debian:bookworm-slim";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Certificates of authorities that this machine trusts beside Debian's.
const AUTHORITIES: &str = "usr/local/share/ca-certificates";

/// Podman, and the folder with all that it keeps.
pub(super) struct Podman {
    folder: PathBuf,
}

impl Podman {
    /// Installs what is missing, and makes the base image if there is none.
    pub(super) fn set_up(folder: PathBuf) -> Result<Self> {
        servers::install_debian(&PACKAGES)?;
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("containers.conf"), CONFIGURATION)?;
        // Podman wants its store where it was.
        let podman = Self { folder: folder.canonicalize()? };
        podman.write_program()?;
        if !podman.has_image(DEBIAN)? {
            podman.make_base()?;
        }
        Ok(podman)
    }

    /// A program that is Podman with this store, for those that start it themselves.
    pub(super) fn program(&self) -> PathBuf {
        self.folder.join("podman")
    }

    fn write_program(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.folder.display();
        let text = format!(
            "#!/bin/sh\nexport CONTAINERS_CONF={folder}/containers.conf\nexec podman --runtime runc \
             --storage-driver overlay --root {folder}/store --runroot {folder}/run \"$@\"\n"
        );
        std::fs::write(self.program(), text)?;
        Ok(std::fs::set_permissions(self.program(), PermissionsExt::from_mode(0o755))?)
    }

    /// Podman with these arguments.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// `podman build` of an image; the context is to be added.
    pub(super) fn build(&self, image: &str) -> Command {
        self.command(&["build", "--network", "host", "--format", "docker", "--tag", image])
    }

    /// What a command prints.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("cannot start podman")?;
        if !output.status.success() {
            bail!("podman {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether a command ends well, whatever it says.
    pub(super) fn succeeds(&self, arguments: &[&str]) -> Result<bool> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().context("cannot start podman")?.success())
    }

    /// Whether an image is there.
    pub(super) fn has_image(&self, image: &str) -> Result<bool> {
        self.succeeds(&["image", "exists", image])
    }

    /// A small Debian that trusts what this machine trusts.
    fn make_base(&self) -> Result<()> {
        let root = tempfile::tempdir_in(&self.folder)?;
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", "--include=ca-certificates", "bookworm"]);
        debootstrap.arg(root.path()).arg(MIRROR).stdout(Stdio::null());
        run(debootstrap)?;
        copy_authorities(&Path::new("/").join(AUTHORITIES), &root.path().join(AUTHORITIES))?;
        let mut update = Command::new("chroot");
        update.arg(root.path()).arg("update-ca-certificates").stdout(Stdio::null());
        run(update)?;
        let mut archive = Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut import = self.command(&["import", "-", DEBIAN]);
        import.stdin(archive.stdout.take().context("tar writes")?);
        run(import)?;
        let archived = archive.wait()?;
        if !archived.success() {
            bail!("tar failed: {archived}");
        }
        Ok(())
    }

    /// Removes everything.
    pub(super) fn remove(&self) -> Result<()> {
        for arguments in [
            &["rm", "--all", "--force", "--volumes"][..],
            &["volume", "prune", "--force"],
            &["image", "rm", "--all", "--force"],
        ] {
            self.output(arguments)?;
        }
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }
}

fn copy_authorities(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let Ok(entries) = std::fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "crt") {
            std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}
