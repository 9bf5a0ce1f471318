//! A bucket that cannot be used is refused at open, in words that name the setting to change.

use super::{BUCKET, config, credentials};
use anyhow::{Context, ensure};
use libtest_mimic::{Failed, Trial};
use printmill_adapter_objects::s3::S3Config;
use printmill_adapter_objects::{ObjectsConfig, open_config};
use printmill_backend::error::Fault;
use printmill_test_servers::process::free_port;
use printmill_test_servers::{Moto, S3sFs, s3s_fs};
use std::io::{Read, Write};
use std::net::TcpListener;

const SECRET: &str = "5ecret-that-nobody-prints";

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, case: fn() -> anyhow::Result<()>| {
        let run = move || case().map_err(|error| Failed::from(format!("{error:?}")));
        Trial::test(format!("s3::refusals::{name}"), run)
    };
    vec![
        trial("an_unknown_key", an_unknown_key),
        trial("a_wrong_secret", a_wrong_secret),
        trial("a_missing_bucket", a_missing_bucket),
        trial("a_certificate_that_nobody_signed", a_certificate_that_nobody_signed),
        trial("a_server_without_tls", a_server_without_tls),
        trial("nobody_listens", nobody_listens),
        trial("an_unknown_host", an_unknown_host),
        trial("what_stores_answer", what_stores_answer),
    ]
}

fn at(url: &str) -> anyhow::Result<S3Config> {
    Ok(S3Config { endpoint: Some(url.parse()?), ..config() })
}

/// Opens a bucket, which must be refused in these words, and without the secret.
fn expect(config: S3Config, fault: Fault, words: &[&str]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(open_config(ObjectsConfig::S3(Box::new(config))));
    let error = answer.err().context("it was opened")?;
    let text = error.chain();
    ensure!(error.fault == fault, "{:?}: {text}", error.fault);
    for word in words {
        ensure!(text.contains(word), "no '{word}' in: {text}");
    }
    ensure!(!text.contains(SECRET) && !text.contains(s3s_fs::SECRET_ACCESS_KEY), "{text}");
    Ok(())
}

fn an_unknown_key() -> anyhow::Result<()> {
    let Some(server) = S3sFs::start(&[BUCKET])? else { return Ok(()) };
    let config = S3Config { credentials: credentials("NOBODY", SECRET), ..at(&server.address)? };
    expect(config, Fault::Rejected, &["access_key_id"])
}

fn a_wrong_secret() -> anyhow::Result<()> {
    let Some(server) = S3sFs::start(&[BUCKET])? else { return Ok(()) };
    let credentials = credentials(s3s_fs::ACCESS_KEY_ID, SECRET);
    let config = S3Config { credentials, ..at(&server.address)? };
    expect(config, Fault::Rejected, &["secret_access_key_file", "SignatureDoesNotMatch"])
}

fn a_missing_bucket() -> anyhow::Result<()> {
    if let Some(server) = S3sFs::start(&[])? {
        expect(at(&server.address)?, Fault::Rejected, &["no bucket 'conformance'", "create it"])?;
    }
    let Some(moto) = Moto::find()? else { return Ok(()) };
    let config = S3Config { bucket: "never-made".into(), ..at(&moto.address)? };
    expect(config, Fault::Rejected, &["no bucket 'never-made'", "create it"])
}

fn a_certificate_that_nobody_signed() -> anyhow::Result<()> {
    let Some(moto) = Moto::start_with_tls()? else { return Ok(()) };
    expect(at(&moto.address)?, Fault::Rejected, &["vouches for https://127", "ca_file"])
}

fn a_server_without_tls() -> anyhow::Result<()> {
    let Some(server) = S3sFs::start(&[BUCKET])? else { return Ok(()) };
    let config = at(&server.address.replace("http://", "https://"))?;
    expect(config, Fault::Rejected, &["does not speak TLS", "endpoint"])
}

fn nobody_listens() -> anyhow::Result<()> {
    let config = at(&format!("http://127.0.0.1:{}", free_port()?))?;
    expect(config, Fault::Unavailable, &["does not answer", "endpoint"])
}

fn an_unknown_host() -> anyhow::Result<()> {
    expect(at("http://store.invalid")?, Fault::Rejected, &["host", "endpoint"])
}

/// Answers that no server for tests gives, as Amazon documents them.
fn what_stores_answer() -> anyhow::Result<()> {
    let region = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The region 'us-east-1' \
                  is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>";
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
    let answers = [
        ("400 Bad Request", region.to_owned(), ["'eu-west-1'", "set region="]),
        ("301 Moved Permanently", error("PermanentRedirect"), ["another region", "set region="]),
        ("403 Forbidden", error("RequestTimeTooSkewed"), ["clock", "NTP"]),
        ("403 Forbidden", error("AccessDenied"), ["list the bucket", "s3:ListBucket"]),
        ("400 Bad Request", error("ExpiredToken"), ["past their time", "AWS_SESSION_TOKEN"]),
        ("403 Forbidden", error("InvalidAccessKeyId"), ["access key", "access_key_id"]),
    ];
    for (status, body, words) in answers {
        let port = answering(status, body)?;
        expect(at(&format!("http://127.0.0.1:{port}"))?, Fault::Rejected, &words)?;
    }
    Ok(())
}

/// A server that answers every request in the same way.
fn answering(status: &'static str, body: String) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 16 * 1024]);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
            let _ = write!(client, "{head}connection: close\r\n\r\n{body}");
        }
    });
    Ok(port)
}
