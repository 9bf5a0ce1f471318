//! Azurite, with a container that is made as Azure's clients do.

use super::subject_of;
use anyhow::ensure;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use libtest_mimic::Trial;
use printmill_adapter_objects::azure::AzureConfig;
use printmill_adapter_objects::{ObjectsConfig, open_config};
use printmill_backend::error::Fault;
use printmill_conformance::blobs_trials;
use printmill_test_servers::azurite::{ACCOUNT, ACCOUNT_KEY};
use printmill_test_servers::{Azurite, Proxy};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const CONTAINER: &str = "conformance";

/// The cases on Azurite, and its refusals.
pub(crate) fn azurite_trials() -> anyhow::Result<Vec<Trial>> {
    let Some(server) = Azurite::find()? else { return Ok(vec![]) };
    let server = Arc::new(server);
    make_container(server.port)?;
    let refusing = server.clone();
    let mut trials = blobs_trials("azurite", move || {
        let server = server.clone();
        async move {
            let proxy = Proxy::start(server.port)?;
            let config = ObjectsConfig::Azure(Box::new(config(proxy.port(), ACCOUNT_KEY)?));
            Ok(subject_of(config, proxy).await?.keeping(server))
        }
    });
    trials.push(Trial::test("azurite::refusals::at_open", move || {
        refusals(refusing.port).map_err(|error| format!("{error:?}").into())
    }));
    Ok(trials)
}

fn config(port: u16, key: &str) -> anyhow::Result<AzureConfig> {
    let prefix: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
    let url = format!("az://{CONTAINER}/{prefix}?account={ACCOUNT}&retries=1&retry_seconds=5");
    let mut config = AzureConfig::from_url(&url)?;
    config.account_key = Some(key.to_owned());
    config.endpoint = Some(format!("http://127.0.0.1:{port}/{ACCOUNT}").parse()?);
    Ok(config)
}

fn refusals(port: u16) -> anyhow::Result<()> {
    let wrong = BASE64_STANDARD.encode("5ecret-that-nobody-prints");
    let missing = AzureConfig { container: "never-made".into(), ..config(port, ACCOUNT_KEY)? };
    let cases = [
        (config(port, &wrong)?, ["list the container", "account_key_file"]),
        (missing, ["no container 'never-made'", "create it"]),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (config, words) in cases {
        let answer = runtime.block_on(open_config(ObjectsConfig::Azure(Box::new(config))));
        let error = answer.err().ok_or_else(|| anyhow::anyhow!("it was opened"))?;
        let text = error.chain();
        ensure!(error.fault == Fault::Rejected, "{text}");
        ensure!(words.iter().all(|word| text.contains(word)), "{text}");
        ensure!(!text.contains(&wrong) && !text.contains("5ecret"), "{text}");
    }
    Ok(())
}

/// Makes the container, by a request signed with the account's key.
fn make_container(port: u16) -> anyhow::Result<()> {
    let date = "Sat, 21 Nov 2026 12:00:00 GMT";
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container");
    let text = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n{resource}");
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(ACCOUNT_KEY)?)?;
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "PUT /{ACCOUNT}/{CONTAINER}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         x-ms-date: {date}\r\nx-ms-version: 2021-08-06\r\nContent-Length: 0\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_there = answer.starts_with("HTTP/1.1 201") || answer.contains("ContainerAlreadyExists");
    ensure!(is_there, "no container was made: {answer}");
    Ok(())
}
