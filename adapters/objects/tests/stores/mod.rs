//! Real stores for the tests, reached through a proxy that can be broken.

mod azure;
pub(crate) mod refusals;

pub(crate) use azure::azurite_trials;

use libtest_mimic::Trial;
use printmill_adapter_objects::s3::{Credentials, Links, S3Config};
use printmill_adapter_objects::{ObjectsConfig, open_config};
use printmill_backend::Blobs;
use printmill_conformance::{Subject, blobs_trials};
use printmill_test_servers::proxy::Mode;
use printmill_test_servers::{Moto, Proxy, S3sFs, s3s_fs};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

const BUCKET: &str = "conformance";

/// The cases on moto, which keeps everything in memory.
pub(crate) fn moto_trials() -> anyhow::Result<Vec<Trial>> {
    let Some(moto) = Moto::find()? else { return Ok(vec![]) };
    let port = port_of(&moto.address);
    make_bucket(port, BUCKET)?;
    let moto = Arc::new(moto);
    Ok(blobs_trials("s3-moto", move || {
        let kept = moto.clone();
        async move { Ok(subject(port, config()).await?.with_signatures_unchecked().keeping(kept)) }
    }))
}

/// The cases on s3s-fs, which verifies signatures.
pub(crate) fn s3s_trials() -> anyhow::Result<Vec<Trial>> {
    let Some(server) = S3sFs::start(&[BUCKET])? else { return Ok(vec![]) };
    let server = Arc::new(server);
    Ok(blobs_trials("s3-s3s", move || {
        let kept = server.clone();
        async move { Ok(subject(kept.process.port(), config()).await?.keeping(kept)) }
    }))
}

/// Settings for the servers of tests; each subject has a prefix of its own.
fn config() -> S3Config {
    let mut config = S3Config::new(BUCKET);
    config.links = Links::Store;
    config.credentials = credentials(s3s_fs::ACCESS_KEY_ID, s3s_fs::SECRET_ACCESS_KEY);
    config.remote.retries = 1;
    config.remote.retry_time = Duration::from_secs(5);
    config
}

fn credentials(id: &str, secret: &str) -> Credentials {
    Credentials::Key {
        access_key_id: id.into(),
        secret_access_key: secret.into(),
        session_token: None,
    }
}

async fn subject(port: u16, config: S3Config) -> anyhow::Result<Subject<Blobs>> {
    let proxy = Proxy::start(port)?;
    let prefix: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
    let endpoint = Some(format!("http://127.0.0.1:{}", proxy.port()).parse()?);
    let config = S3Config { prefix: format!("tests/{prefix}"), endpoint, ..config };
    subject_of(ObjectsConfig::S3(Box::new(config)), proxy).await
}

/// A store that is reached through a proxy.
async fn subject_of(config: ObjectsConfig, proxy: Proxy) -> anyhow::Result<Subject<Blobs>> {
    let blobs = open_config(config.clone()).await?;
    let again = move || {
        let config = config.clone();
        async move { Ok(Arc::new(open_config(config).await?)) }
    };
    let disturb = move |failing| {
        proxy.set(if failing { Mode::Unavailable } else { Mode::Passing });
    };
    Ok(Subject::blobs(blobs).opened_by(again).disturbed_by(disturb))
}

fn port_of(address: &str) -> u16 {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    port.unwrap_or(80)
}

/// Asks moto, which checks no signatures, to make a bucket. It is harmless when there is one.
fn make_bucket(port: u16, bucket: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let head = "Host: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    write!(stream, "PUT /{bucket} HTTP/1.1\r\n{head}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "no bucket was made: {answer}");
    Ok(())
}
