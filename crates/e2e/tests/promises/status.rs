//! Processes that serve no clients tell how they are, and nodes that run already play the demo.

use anyhow::{Context, ensure};
use printmill_testkit::node::free_port;
use printmill_testkit::{Node, Place};
use std::process::Output;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(90);

async fn run(place: &Place, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = place.command(arguments);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

async fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_how_it_is() -> anyhow::Result<()> {
    let place = Place::new()?;
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let listening = ["--roles", "worker,dispatcher", "--status-listen", &address];
    let worker = Node::spawn(&place, &[&["serve"], &listening[..]].concat())?;
    let started = worker.log.wait_for(0, LIMIT, |line| line.message() == "worker starts").await;
    started.with_context(|| worker.log.text())?;
    for more in [&[][..], &["--live"]] {
        let asked = run(&place, &[&["health"], &listening[..], more].concat()).await?;
        ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    }
    let metrics = get(port, "/metrics").await?;
    ensure!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("printmill_tickets_in_work"));
    ensure!(get(port, "/v1/orders").await?.starts_with("HTTP/1.1 404"), "nothing else is there");
    assert_eq!(worker.stop().await?, 0);
    let asked = run(&place, &[&["health", "--json"], &listening[..]].concat()).await?;
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    ensure!(asked.status.code() == Some(1) && said.contains("UNAVAILABLE"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_plays_on_nodes_that_run_and_leaves_no_key_behind() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _node = Node::up(&place).await?;
    let server = place.address();
    let words = ["demo", "--server", &server, "--press-time", "0", "--json"];
    let demo = run(&place, &words).await?;
    let said = String::from_utf8_lossy(&demo.stderr).into_owned();
    ensure!(demo.status.success(), "{said}");
    let shown: serde_json::Value = serde_json::from_slice(&demo.stdout)?;
    assert_eq!(shown["file"]["pages"], 24);
    let listed = place.json(&["keys", "list", "--json"])?;
    let keys = listed.as_array().context("a list")?;
    let of_demo: Vec<_> = keys.iter().filter(|key| key["name"] == "demo").collect();
    ensure!(of_demo.len() > 1, "it had keys of its own, for the merchant and for facilities");
    ensure!(of_demo.iter().all(|key| key["revoked_at"].is_string()), "{listed}");
    Ok(())
}
