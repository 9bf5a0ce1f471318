//! A service that cannot be used is refused at open, in words that name the setting to change.

use crate::config;
use anyhow::{Context, ensure};
use libtest_mimic::{Failed, Trial};
use printmill_adapter_sqs::{SqsConfig, SqsQueue};
use printmill_backend::error::Fault;
use printmill_test_servers::Moto;
use printmill_test_servers::process::free_port;
use std::io::{Read, Write};
use std::net::TcpListener;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, case: fn() -> anyhow::Result<()>| {
        let run = move || case().map_err(|error| Failed::from(format!("{error:?}")));
        Trial::test(format!("refusals::{name}"), run)
    };
    vec![
        trial("a_certificate_that_nobody_signed", a_certificate_that_nobody_signed),
        trial("a_server_without_tls", a_server_without_tls),
        trial("nobody_listens", nobody_listens),
        trial("an_unknown_host", an_unknown_host),
        trial("what_the_service_answers", what_the_service_answers),
        trial("a_queue_that_may_not_be_created", a_queue_that_may_not_be_created),
    ]
}

/// Opens queues, which must be refused in these words.
fn expect(config: SqsConfig, fault: Fault, words: &[&str]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(SqsQueue::open_config(config));
    let error = answer.err().context("it was opened")?;
    let text = error.chain();
    ensure!(error.fault == fault, "{:?}: {text}", error.fault);
    for word in words {
        ensure!(text.contains(word), "no '{word}' in: {text}");
    }
    Ok(())
}

fn a_certificate_that_nobody_signed() -> anyhow::Result<()> {
    let Some(moto) = Moto::start_with_tls()? else { return Ok(()) };
    expect(config("t", &moto.address)?, Fault::Rejected, &["vouches for", "ca_file"])
}

fn a_server_without_tls() -> anyhow::Result<()> {
    let Some(moto) = Moto::find()? else { return Ok(()) };
    let config = config("t", &moto.address.replace("http://", "https://"))?;
    expect(config, Fault::Rejected, &["does not speak TLS", "endpoint"])
}

fn nobody_listens() -> anyhow::Result<()> {
    let config = config("t", &format!("http://127.0.0.1:{}", free_port()?))?;
    expect(config, Fault::Unavailable, &["endpoint"])
}

fn an_unknown_host() -> anyhow::Result<()> {
    expect(config("t", "http://queue.invalid")?, Fault::Rejected, &["host", "endpoint"])
}

/// Answers that moto, which checks nothing, does not give.
fn what_the_service_answers() -> anyhow::Result<()> {
    let answers = [
        ("InvalidClientTokenId", ["access key", "AWS_ACCESS_KEY_ID"]),
        ("SignatureDoesNotMatch", ["not its secret", "AWS_SECRET_ACCESS_KEY"]),
        ("ExpiredToken", ["past their time", "AWS_SESSION_TOKEN"]),
        ("AccessDenied", ["does not allow", "ReceiveMessage"]),
    ];
    for (code, words) in answers {
        let port = answering(code)?;
        expect(config("t", &format!("http://127.0.0.1:{port}"))?, Fault::Rejected, &words)?;
    }
    Ok(())
}

fn a_queue_that_may_not_be_created() -> anyhow::Result<()> {
    let Some(moto) = Moto::find()? else { return Ok(()) };
    let config = SqsConfig { create: false, ..config("t-never-made", &moto.address)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let queue = SqsQueue::open_config(config).await?;
        let lane = printmill_domain::lane::Lane::render();
        let error = printmill_backend::Queue::ensure(&queue, &lane).await;
        let error = error.err().context("it is there")?;
        let text = error.chain();
        ensure!(error.fault == Fault::NotFound, "{text}");
        ensure!(text.contains("t-never-made-render") && text.contains("create=true"), "{text}");
        Ok(())
    })
}

/// A server that refuses every request with a code.
fn answering(code: &'static str) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 16 * 1024]);
            let body = format!("{{\"__type\":\"com.amazonaws.sqs#{code}\",\"message\":\"No.\"}}");
            let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n", body.len());
            let kind = "content-type: application/x-amz-json-1.0\r\nconnection: close\r\n\r\n";
            let _ = write!(client, "{head}{kind}{body}");
        }
    });
    Ok(port)
}
