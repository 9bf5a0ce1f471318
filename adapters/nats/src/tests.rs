//! What goes wrong at opening says what to change, and never shows a secret.

use crate::queue::NatsQueue;
use anyhow::{Context, ensure};
use async_nats::jetstream::stream::Config;
use printmill_backend::{BackendError, Fault, Queue};
use printmill_test_servers::Nats;
use printmill_test_servers::nats::Version;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const SECRET: &str = "s3cret";

/// The refusal of an address, which must show none of the secrets in it.
async fn refused(address: &str) -> anyhow::Result<BackendError> {
    let opened = NatsQueue::open(address).await;
    let error = opened.err().with_context(|| format!("{address} was opened"))?;
    let shown = format!("{error} {error:?} {}", error.chain());
    ensure!(!shown.contains(SECRET), "a secret is shown: {shown}");
    Ok(error)
}

fn expect(error: &BackendError, fault: Fault, words: &[&str]) -> anyhow::Result<()> {
    ensure!(error.fault == fault, "{error:?}");
    let missing = words.iter().find(|word| !error.detail.contains(**word));
    ensure!(missing.is_none(), "'{}' is not in: {error}", missing.unwrap_or(&""));
    Ok(())
}

/// The address of a server with something added before its host.
fn with(server: &Nats, before: &str, after: &str) -> String {
    server.address.replace("://", &format!("://{before}")) + after
}

#[tokio::test]
async fn an_address_where_nobody_is_may_work_later() -> anyhow::Result<()> {
    let port = printmill_test_servers::process::free_port()?;
    let error = refused(&format!("nats://me:{SECRET}@127.0.0.1:{port}")).await?;
    expect(&error, Fault::Unavailable, &[&format!("127.0.0.1:{port} cannot be reached")])
}

#[tokio::test]
async fn credentials_must_be_right() -> anyhow::Result<()> {
    let accounts = |_: &Path| Ok("authorization { user: me, password: right }".to_owned());
    let Some(server) = Nats::configured(Version::Debian, accounts)? else { return Ok(()) };
    for wrong in [format!("me:{SECRET}@"), format!("{SECRET}@"), String::new()] {
        let error = refused(&with(&server, &wrong, "")).await?;
        expect(&error, Fault::Rejected, &["refuses the credentials", "creds=FILE", "nkey=FILE"])?;
    }
    NatsQueue::open(&with(&server, "me:right@", "")).await?;
    Ok(())
}

#[tokio::test]
async fn an_nkey_opens_what_its_public_half_may() -> anyhow::Result<()> {
    let (own, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let public = own.public_key();
    let accounts = |_: &Path| Ok(format!("authorization {{ users: [ {{ nkey: {public} }} ] }}"));
    let Some(server) = Nats::configured(Version::Newest, accounts)? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let seed = |name: &str, pair: &nkeys::KeyPair| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{}\n", pair.seed()?))?;
        anyhow::Ok(with(&server, "", &format!("?nkey={}", path.display())))
    };
    NatsQueue::open(&seed("own", &own)?).await?;
    let error = refused(&seed("other", &other)?).await?;
    expect(&error, Fault::Rejected, &["refuses the credentials", "nkey=FILE"])?;
    let error = refused(&with(&server, "", "?nkey=/nowhere/seed")).await?;
    expect(&error, Fault::Rejected, &["'nkey'", "/nowhere/seed"])
}

#[tokio::test]
async fn a_file_of_credentials_must_be_one() -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), SECRET)?;
    let address = format!("nats://127.0.0.1:1?creds={}", file.path().display());
    expect(&refused(&address).await?, Fault::Rejected, &["'creds'", "no NATS credentials"])
}

#[tokio::test]
async fn tls_must_verify() -> anyhow::Result<()> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = cert.pem();
    let prepare = |folder: &Path| {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, &certificate)?;
        std::fs::write(&key, signing_key.serialize_pem())?;
        Ok(format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}"))
    };
    let Some(server) = Nats::configured(Version::Debian, prepare)? else { return Ok(()) };
    let error = refused(&with(&server, &format!("me:{SECRET}@"), "")).await?;
    expect(&error, Fault::Rejected, &["TLS", "ca=FILE"])?;
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &certificate)?;
    NatsQueue::open(&with(&server, "", &format!("?ca={}", authority.display()))).await?;
    let error = refused(&with(&server, "", "?ca=/nowhere/ca.pem")).await?;
    expect(&error, Fault::Rejected, &["'ca'", "/nowhere/ca.pem"])
}

#[tokio::test]
async fn tls_that_is_demanded_is_not_given_up() -> anyhow::Result<()> {
    let Some(server) = Nats::start(Version::Debian)? else { return Ok(()) };
    let error = refused(&server.address.replace("nats://", "tls://")).await?;
    expect(&error, Fault::Rejected, &["TLS", "a server without TLS is nats://"])
}

/// A server that says it is so old, and takes every connection.
async fn server_that_is(version: &'static str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("nats://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let (reading, mut writing) = stream.into_split();
        let info = serde_json::json!({
            "server_id": "old", "version": version, "proto": 1, "host": "127.0.0.1", "port": 1,
            "max_payload": 1_048_576, "headers": true, "jetstream": true,
        });
        writing.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
        let mut lines = BufReader::new(reading).lines();
        while let Some(line) = lines.next_line().await? {
            if line == "PING" {
                writing.write_all(b"PONG\r\n").await?;
            }
        }
        anyhow::Ok(())
    });
    Ok(address)
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named() -> anyhow::Result<()> {
    let address = server_that_is("2.8.4").await?;
    let words = ["NATS 2.8.4", "2.9 or later", "upgrade"];
    expect(&refused(&address).await?, Fault::Rejected, &words)
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_how_to_have_it() -> anyhow::Result<()> {
    // The account of whoever names none has no JetStream.
    let accounts = "accounts { A: { jetstream: enabled }, B: {} }\nno_auth_user: me\n\
         accounts { B: { users: [ { user: me, password: x } ] } }";
    for version in [Version::Debian, Version::Newest] {
        let Some(server) = Nats::configured(version, |_| Ok(accounts.to_owned()))? else {
            continue;
        };
        expect(&refused(&server.address).await?, Fault::Rejected, &["no JetStream", "-js"])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_of_another_type_is_refused() -> anyhow::Result<()> {
    for version in [Version::Debian, Version::Newest] {
        let Some(server) = Nats::start(version)? else { continue };
        let context = async_nats::jetstream::new(async_nats::connect(&server.address).await?);
        let named = |name: &str, subject: &str| Config {
            name: name.into(),
            subjects: vec![subject.into()],
            ..Config::default()
        };
        context.create_stream(named("printmill", "printmill.*")).await?;
        let error = refused(&server.address).await?;
        expect(&error, Fault::Rejected, &["'printmill'", "no work queue", "stream=NAME"])?;
        context.create_stream(named("logs", "mill.>")).await?;
        let error = refused(&with(&server, "", "?stream=mill")).await?;
        expect(&error, Fault::Rejected, &["'mill'", "overlap", "stream=NAME"])?;
        let queue = NatsQueue::open(&with(&server, "", "?stream=free")).await?;
        ensure!(queue.caps().shared);
    }
    Ok(())
}
