//! What goes wrong at opening says what to change, and never shows a secret; and what the broker's
//! own limit on holding messages makes of leases.

use crate::queue::RabbitMqQueue;
use anyhow::{Context, ensure};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use printmill_backend::queue::{Message, Queue, SettleError};
use printmill_backend::{BackendError, Fault, SystemClock, fresh};
use printmill_domain::lane::Lane;
use printmill_test_servers::RabbitMq;
use printmill_test_servers::process::{free_port, wait_for};
use std::path::Path;
use std::time::{Duration, Instant};

const SECRET: &str = "s3cret";

/// The refusal of an address, which must show none of the secrets in it.
async fn refused(address: &str) -> anyhow::Result<BackendError> {
    let opened = RabbitMqQueue::open(address).await;
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

/// A prefix that no other test uses.
fn prefix() -> String {
    fresh::bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_address_where_nobody_is_may_work_later() -> anyhow::Result<()> {
    let port = free_port()?;
    let error = refused(&format!("amqp://me:{SECRET}@127.0.0.1:{port}")).await?;
    expect(&error, Fault::Unavailable, &[&format!("127.0.0.1:{port} cannot be reached")])?;
    // One without TLS, at that.
    let error = refused(&format!("amqps://me:{SECRET}@127.0.0.1:{port}")).await?;
    expect(&error, Fault::Unavailable, &["cannot be reached"])
}

#[tokio::test]
async fn credentials_and_virtual_host_must_be_right() -> anyhow::Result<()> {
    let Some(server) = RabbitMq::find()? else { return Ok(()) };
    let wrong = server.address.replace("guest:guest", &format!("guest:{SECRET}"));
    let error = refused(&wrong).await?;
    expect(&error, Fault::Rejected, &["refuses the credentials", "user:password@"])?;
    let error = refused(&format!("{}/elsewhere", server.address)).await?;
    expect(&error, Fault::Rejected, &["virtual host 'elsewhere'", "%2F"])
}

#[tokio::test]
async fn a_queue_of_another_type_is_refused() -> anyhow::Result<()> {
    let Some(server) = RabbitMq::find()? else { return Ok(()) };
    let (prefix, own) = (prefix(), prefix());
    let connection = Connection::connect(&server.address, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let declare = |name: String| channel.queue_declare(name.into(), durable, FieldTable::default());
    declare(format!("{prefix}.render")).await?;
    let error = refused(&format!("{}?prefix={prefix}", server.address)).await?;
    let words = [format!("'{prefix}.render'"), "prefix=NAME".into(), "another kind".into()];
    expect(&error, Fault::Rejected, &words.each_ref().map(String::as_str))?;
    // The same of a lane that is asked for later.
    declare(format!("{own}.mine")).await?;
    let queue = RabbitMqQueue::open(&format!("{}?prefix={own}", server.address)).await?;
    let lane = Lane::parse("mine").context("it is a name")?;
    let error = queue.ensure(&lane).await.err().context("it was taken")?;
    expect(&error, Fault::Rejected, &["another kind"])?;
    queue.ensure(&Lane::express()).await?;
    Ok(())
}

#[tokio::test]
async fn tls_must_verify() -> anyhow::Result<()> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (certificate, port) = (cert.pem(), free_port()?);
    let prepare = |folder: &Path| {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, &certificate)?;
        std::fs::write(&key, signing_key.serialize_pem())?;
        let (cert, key) = (cert.display(), key.display());
        Ok(format!(
            "listeners.ssl.default = 127.0.0.1:{port}\nssl_options.certfile = {cert}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_none\n"
        ))
    };
    let Some(server) = RabbitMq::configured(prepare)? else { return Ok(()) };
    wait_for(port)?;
    let secure = format!("amqps://guest:guest@127.0.0.1:{port}");
    let error = refused(&secure.replace(":guest@", &format!(":{SECRET}@"))).await?;
    expect(&error, Fault::Rejected, &["TLS", "ca=FILE"])?;
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &certificate)?;
    RabbitMqQueue::open(&format!("{secure}?ca={}", authority.display())).await?;
    let error = refused(&format!("{secure}?ca=/nowhere/ca.pem")).await?;
    expect(&error, Fault::Rejected, &["'ca'", "/nowhere/ca.pem"])?;
    // A port without TLS.
    let plain = server.address.replace("amqp://", "amqps://");
    expect(&refused(&plain).await?, Fault::Rejected, &["TLS", "amqp://"])
}

/// The server would close the channel and take everything away; so it does not come to that.
#[tokio::test]
async fn nothing_is_held_as_long_as_the_server_forbids() -> anyhow::Result<()> {
    let Some(server) = RabbitMq::find()? else { return Ok(()) };
    let address = format!("{}?consumer_timeout=6&prefix={}", server.address, prefix());
    let (queue, lane) = (RabbitMqQueue::open(&address).await?, Lane::express());
    let ticket = fresh::id(printmill_backend::Clock::now(&SystemClock));
    for answer in queue.send(&lane, &[Message { ticket, trace: None, delay: Duration::ZERO }]).await
    {
        answer?;
    }
    let (began, second) = (Instant::now(), Duration::from_secs(1));
    let held = queue.lease(&lane, 1, second, 10 * second).await?;
    let held = held.first().context("it came")?;
    let lost = loop {
        // Waiting without losing sight of it: nothing else is there.
        let others = queue.lease(&lane, 1, second, second / 2).await?;
        ensure!(others.is_empty(), "it came again while it was held: {others:?}");
        match queue.extend(&held.receipt, second).await {
            Ok(()) => ensure!(began.elapsed() < 6 * second, "it was held for too long"),
            Err(error) => break error,
        }
    };
    ensure!(matches!(lost, SettleError::Lost), "{lost:?}");
    ensure!(began.elapsed() > 3 * second, "it was lost after {:?}", began.elapsed());
    let again = queue.lease(&lane, 1, second, 10 * second).await?;
    ensure!(again.len() == 1 && again[0].ticket == ticket, "{again:?}");
    Ok(queue.ack(&again[0].receipt).await?)
}
