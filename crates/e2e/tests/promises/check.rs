//! `printmill check` beside a node in use, on local disk and on real servers; and what users see of
//! backends that do not work: the setting to change, and never a secret.

use anyhow::{Context, ensure};
use printmill_test_servers::nats::Version;
use printmill_test_servers::process::free_port;
use printmill_test_servers::{Moto, Nats, Postgres, S3sFs, s3s_fs};
use printmill_testkit::{Node, Place};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

/// A secret that no output may show.
const SECRET: &str = "s3cret-of-nobody";

/// What `printmill check --json` says, and whether it exits with 0.
fn check(place: &Place, arguments: &[&str]) -> anyhow::Result<(bool, Value)> {
    let arguments = [&["check", "--json"], arguments].concat();
    let output = place.command(&arguments).output()?;
    let report = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    Ok((output.status.success(), report))
}

/// All that it printed, on one line, since long lines are wrapped.
fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(error)].join("\n");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Makes sure that all passed, with cases of each backend, and that nothing was left behind.
fn expect_all_passed(passed: bool, report: &Value) -> anyhow::Result<()> {
    ensure!(passed && report["passed"] == true, "{report:#}");
    let backends = report["backends"].as_array().context("a list")?;
    let least = [("database", 8), ("queue", 30), ("blobs", 12), ("payments", 3)];
    ensure!(backends.len() == least.len(), "{report:#}");
    for (backend, (name, least)) in backends.iter().zip(least) {
        let cases = backend["cases"].as_array().context("a list")?;
        ensure!(backend["backend"] == name && cases.len() >= least, "{backend:#}");
        ensure!(backend["left"].as_array().is_some_and(Vec::is_empty), "{backend:#}");
    }
    Ok(())
}

/// Makes sure that the node beside it saw nothing of it.
fn expect_untouched(place: &Place) -> anyhow::Result<()> {
    let lanes = place.json(&["queues", "--json"])?;
    ensure!(lanes.as_array().is_some_and(Vec::is_empty), "work is left: {lanes:#}");
    let workers = place.json(&["workers", "list", "--json"])?;
    ensure!(workers.as_array().is_some_and(|all| all.len() == 1), "strange workers: {workers:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn local_disk_passes_beside_a_node_that_sees_nothing_of_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    let (passed, report) = check(&place, &[])?;
    expect_all_passed(passed, &report)?;
    expect_untouched(&place)?;
    let quarantine = place.data().join("blobs/quarantine");
    let left = std::fs::read_dir(&quarantine).map_or(0, Iterator::count);
    ensure!(left == 0, "{left} things are left in {}", quarantine.display());
    ensure!(!node.log.text().contains("\"ERROR\""), "{}", node.log.text());
    ensure!(node.stop().await? == 0, "the node does not stop well");
    // People see the same, and what to do next.
    let output = place.command(&["check", "--only", "database", "--only", "payments"]).output()?;
    let shown = text(&output);
    for words in ["passed", "sqlite://", "it takes no money", "Next:"] {
        ensure!(shown.contains(words), "no '{words}' in: {shown}");
    }
    ensure!(!shown.contains("queue.db") && !shown.contains('\u{1b}'), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_postgres_and_s3_pass_beside_a_node_on_them() -> anyhow::Result<()> {
    let Some(nats) = Nats::start(Version::Newest)? else { return Ok(()) };
    let Some(postgres) = Postgres::start(&[])? else { return Ok(()) };
    let Some(store) = S3sFs::start(&["files"])? else { return Ok(()) };
    let place = Place::new()?;
    let secret = place.beside("secret");
    std::fs::write(&secret, s3s_fs::SECRET_ACCESS_KEY)?;
    let blobs = bucket(&store, "files", &secret.display().to_string());
    let lines = [("database", &postgres.address), ("queue", &nats.address), ("blobs", &blobs)];
    let lines: Vec<String> =
        lines.iter().map(|(key, value)| format!("{key} = {value:?}")).collect();
    std::fs::write(place.beside("printmill.toml"), lines.join("\n"))?;
    let node = Node::up(&place).await?;
    let (passed, report) = check(&place, &[])?;
    expect_all_passed(passed, &report)?;
    expect_untouched(&place)?;
    ensure!(!node.log.text().contains("\"ERROR\""), "{}", node.log.text());
    // What it cannot, and what to change, is said; passwords are not.
    let shown = report.to_string();
    for words in ["a late holder may still acknowledge", "sync_interval: always", "links=store"] {
        ensure!(shown.contains(words), "no '{words}' in: {report:#}");
    }
    for secret in [printmill_test_servers::postgres::PASSWORD, s3s_fs::SECRET_ACCESS_KEY] {
        ensure!(!shown.contains(&format!(":{secret}@")), "{report:#}");
    }
    let bucket = store.process.folder().join("buckets/files");
    ensure!(files_below(&bucket)? == 0, "files are left in {}", bucket.display());
    Ok(())
}

/// How many files there are, in folders in folders.
fn files_below(folder: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        count += if path.is_dir() { files_below(&path)? } else { 1 };
    }
    Ok(count)
}

fn bucket(server: &S3sFs, name: &str, secret_file: &str) -> String {
    format!(
        "s3://{name}?endpoint={}&region=us-east-1&access_key_id={}&secret_access_key_file={secret_file}",
        server.address,
        s3s_fs::ACCESS_KEY_ID,
    )
}

/// A set-up that does not work: the setting, its address, and what must be said of it.
struct Broken {
    setting: &'static str,
    address: String,
    words: Vec<&'static str>,
}

/// Makes sure that `up`, `serve` and `check` all fail, name the setting and say what to do.
fn expect_named(broken: &Broken) -> anyhow::Result<()> {
    let Broken { setting, address, words } = broken;
    let place = Place::new()?;
    let variable = format!("PRINTMILL_{}", setting.to_uppercase());
    let commands = [&["up"][..], &["serve", "--roles", "worker"], &["check", "--only", setting]];
    for arguments in commands {
        let output = place.command(arguments).env(&variable, address).output()?;
        let shown = text(&output);
        ensure!(output.status.code() == Some(1), "{arguments:?} on {address}: {shown}");
        let named = format!("'{setting}'");
        for words in words.iter().chain(&[named.as_str(), "help", "docs/errors/"]) {
            ensure!(shown.contains(words), "{arguments:?}: no '{words}' in: {shown}");
        }
        ensure!(!shown.contains(SECRET) && !shown.contains("panicked"), "{arguments:?}: {shown}");
    }
    Ok(())
}

#[test]
fn credentials_that_are_wrong() -> anyhow::Result<()> {
    let rules = |_: &Path| Ok("authorization { user: me, password: right }".to_owned());
    if let Some(nats) = Nats::configured(Version::Debian, rules)? {
        let address = nats.address.replace("://", &format!("://me:{SECRET}@"));
        let words = vec!["refuses the credentials"];
        expect_named(&Broken { setting: "queue", address, words })?;
    }
    let Some(postgres) = Postgres::find()? else { return Ok(()) };
    let host = postgres.address.rsplit_once('@').context("a host")?.1;
    let address = format!("postgres://postgres:{SECRET}@{host}");
    let words = vec!["postgres:hidden@"];
    expect_named(&Broken { setting: "database", address, words })
}

#[test]
fn a_bucket_that_is_missing() -> anyhow::Result<()> {
    let Some(store) = S3sFs::start(&[])? else { return Ok(()) };
    let place = Place::new()?;
    let secret = place.beside("secret");
    std::fs::write(&secret, s3s_fs::SECRET_ACCESS_KEY)?;
    let address = bucket(&store, "nowhere", &secret.display().to_string());
    let words = vec!["no bucket 'nowhere'", "create it"];
    expect_named(&Broken { setting: "blobs", address, words })
}

#[test]
fn a_stream_of_another_kind_under_the_same_name() -> anyhow::Result<()> {
    let Some(nats) = Nats::start(Version::Debian)? else { return Ok(()) };
    let port = nats.process.as_ref().context("a process")?.port();
    let stream =
        r#"{"name":"printmill","subjects":["printmill.*"],"retention":"limits","storage":"file"}"#;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let create = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\n\
         PUB $JS.API.STREAM.CREATE.printmill answer {}\r\n{stream}\r\n",
        stream.len()
    );
    server.write_all(create.as_bytes())?;
    let answer = BufReader::new(server)
        .lines()
        .find(|line| line.as_ref().map_or(true, |line| line.contains("stream_create_response")));
    ensure!(!answer.context("an answer")??.contains("error"), "no stream was made");
    let words = vec!["'printmill'", "no work queue", "stream=NAME"];
    expect_named(&Broken { setting: "queue", address: nats.address, words })
}

#[test]
fn a_server_that_is_too_old() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = format!("nats://me:{SECRET}@{}", listener.local_addr()?);
    // It ends with the process: a listener cannot be woken up.
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let info = r#"{"server_id":"old","version":"2.8.4","proto":1,"host":"127.0.0.1","port":1,"max_payload":1048576,"headers":true,"jetstream":true}"#;
            let _ = client.write_all(format!("INFO {info}\r\n").as_bytes());
            let Ok(reading) = client.try_clone() else { continue };
            for line in BufReader::new(reading).lines().map_while(Result::ok) {
                if line == "PING" {
                    let _ = client.write_all(b"PONG\r\n");
                }
            }
        }
    });
    let words = vec!["NATS 2.8.4", "2.9 or later"];
    expect_named(&Broken { setting: "queue", address, words })
}

#[test]
fn tls_that_does_not_verify() -> anyhow::Result<()> {
    let Some(moto) = Moto::start_with_tls()? else { return Ok(()) };
    let place = Place::new()?;
    let secret = place.beside("secret");
    std::fs::write(&secret, SECRET)?;
    let address = format!(
        "s3://files?endpoint={}&region=us-east-1&access_key_id=id&secret_access_key_file={}",
        moto.address,
        secret.display()
    );
    expect_named(&Broken { setting: "blobs", address, words: vec!["ca_file"] })
}

#[test]
fn nobody_at_the_address() -> anyhow::Result<()> {
    let port = free_port()?;
    for (setting, scheme) in [("queue", "nats"), ("queue", "amqp"), ("database", "mysql")] {
        let path = if setting == "database" { "/shop" } else { "" };
        let address = format!("{scheme}://me:{SECRET}@127.0.0.1:{port}{path}");
        expect_named(&Broken { setting, address, words: vec!["me:hidden@127.0.0.1"] })?;
    }
    Ok(())
}

/// Variables, and what must be said of them.
type Contradiction<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn settings_that_contradict_each_other() -> anyhow::Result<()> {
    let place = Place::new()?;
    let one_file = format!("sqlite://{}", place.beside("both.db").display());
    let far = format!("postgres://me:{SECRET}@db.example/shop");
    let cases: [Contradiction<'_>; 3] = [
        (
            &[("PRINTMILL_DATABASE", &one_file), ("PRINTMILL_QUEUE", &one_file)],
            &["'database' and 'queue' are the same file"],
        ),
        (
            &[("PRINTMILL_DATABASE", &far), ("PRINTMILL_ROLES", "worker")],
            &["'queue'", "shared_files"],
        ),
        (
            &[
                ("PRINTMILL_DATABASE", &far),
                ("PRINTMILL_QUEUE", "tls://queue.example"),
                ("PRINTMILL_BLOBS", "s3://files"),
                ("PRINTMILL_ROLES", "api"),
            ],
            &["PRINTMILL_SIGNING_KEY", "openssl rand -hex 32"],
        ),
    ];
    for (variables, words) in cases {
        for command in ["serve", "check"] {
            let output = place.command(&[command]).envs(variables.iter().copied()).output()?;
            let shown = text(&output);
            ensure!(output.status.code() == Some(1), "{command}: {shown}");
            for words in words.iter().chain(&["CONFIGURATION_INVALID"]) {
                ensure!(shown.contains(words), "{command}: no '{words}' in: {shown}");
            }
            ensure!(!shown.contains(SECRET), "{command}: {shown}");
        }
    }
    ensure!(!place.beside("both.db").exists(), "something was opened before it was refused");
    Ok(())
}
