//! s3s-fs: an S3 server on a folder that verifies every signature, from crates.io.

use crate::{Process, find, missing};
use std::process::Command;

/// What `cargo install` installs it from.
pub const CRATE: &str = "s3s-fs@0.14.1";
/// The key that it knows.
pub const ACCESS_KEY_ID: &str = "PRINTMILLTEST";
/// The secret of that key.
pub const SECRET_ACCESS_KEY: &str = "a-secret-for-tests-only";

/// An s3s-fs server.
pub struct S3sFs {
    /// Where it is, as in `http://127.0.0.1:8014`.
    pub address: String,
    /// Its process. Each folder in the process's `buckets` is a bucket.
    pub process: Process,
}

impl S3sFs {
    /// A server of the test's own, with the buckets named.
    pub fn start(buckets: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(program) = find::program("s3s-fs") else {
            missing("s3s-fs", "cargo install --locked s3s-fs@0.14.1 --features binary")?;
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("printmill-s3s-fs-").tempdir()?;
        let root = folder.path().join("buckets");
        std::fs::create_dir(&root)?;
        for bucket in buckets {
            std::fs::create_dir(root.join(bucket))?;
        }
        let process = Process::start_in(folder, move |folder, port| {
            let mut command = Command::new(&program);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--access-key", ACCESS_KEY_ID, "--secret-key", SECRET_ACCESS_KEY]);
            command.arg(folder.join("buckets"));
            command
        })?;
        let address = format!("http://127.0.0.1:{}", process.port());
        Ok(Some(Self { address, process }))
    }
}
