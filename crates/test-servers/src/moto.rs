//! moto: Amazon's S3 and SQS in memory, on one port, from PyPI.
//!
//! It verifies no signatures, so that any key is right, and forgets everything when it ends.

use crate::shared::{Running, Shared};
use crate::{Process, missing, python, shared};
use anyhow::ensure;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// A moto server.
pub struct Moto {
    /// Where it is, as in `http://127.0.0.1:5000`.
    pub address: String,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
}

impl Moto {
    /// The shared server if there is one; else one of its own. Tests keep apart by the names of
    /// their buckets and queues.
    pub fn find() -> anyhow::Result<Option<Self>> {
        match shared("PRINTMILL_TEST_MOTO") {
            Some(address) => Ok(Some(Self { address, process: None })),
            None => Self::start(),
        }
    }

    /// A server of the test's own, which it may stop, restart and wipe.
    pub fn start() -> anyhow::Result<Option<Self>> {
        Self::serving("http", &[])
    }

    /// A server of the test's own whose certificate nobody has signed.
    pub fn start_with_tls() -> anyhow::Result<Option<Self>> {
        Self::serving("https", &["--ssl"])
    }

    /// Makes a bucket. It is harmless when there is one.
    pub fn make_bucket(&self, bucket: &str) -> anyhow::Result<()> {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host)?;
        let head = format!("Host: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        write!(stream, "PUT /{bucket} HTTP/1.1\r\n{head}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "no bucket was made: {answer}");
        Ok(())
    }

    fn serving(scheme: &str, options: &'static [&'static str]) -> anyhow::Result<Option<Self>> {
        let Some(environment) = python::environment("moto", &["moto[server,s3,sqs]==5.2.5"])?
        else {
            missing("moto", "install python3 with venv; the rest comes from PyPI")?;
            return Ok(None);
        };
        let process = Process::start("moto", move |_, port| {
            let mut command = Command::new(environment.join("bin/moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).args(options);
            command
        })?;
        let address = format!("{scheme}://127.0.0.1:{}", process.port());
        Ok(Some(Self { address, process: Some(process) }))
    }
}

/// Moto, for a whole run of tests.
pub const SHARED: Shared = Shared {
    name: "moto",
    variable: "PRINTMILL_TEST_MOTO",
    packages: &[],
    start: || {
        let started = Moto::start()?;
        Ok(started.map(|moto| Running { address: moto.address.clone(), guard: Box::new(moto) }))
    },
};
