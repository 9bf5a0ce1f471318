//! A worker in another language: it does real work over the public API; it is killed, and its ticket
//! moves on to another; it is drained, resumed, and told to stop like one of Printmill's own.

use anyhow::Context;
use printmill_client::Client;
use printmill_client::v1::{AssetState, GetAssetRequest, GetTicketRequest, ListWorkersRequest};
use printmill_testkit::log::Line;
use printmill_testkit::{Node, Place, Python, PythonWorker, Shop};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(60);

fn says(line: &Line, what: &str) -> bool {
    line.value.as_str().is_some_and(|text| text.starts_with(what))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_worker_is_killed_and_its_ticket_is_done_by_another() -> anyhow::Result<()> {
    let place = Place::new()?;
    let Some(python) = Python::prepare(&place.beside("stubs"))? else { return Ok(()) };
    // No worker of ours: whatever is inspected here is inspected in Python.
    let node = Node::serve(&place, "api,dispatcher").await?;
    let key = place.worker_key("asset.inspect", "inspect")?;
    let slow = python.worker(&place.address(), &key, "python-slow", 600)?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let uploading = {
        let (shop, folder) = (shop.clone(), place.beside("photos"));
        tokio::spawn(async move { shop.upload_photos(&folder, 1).await })
    };
    let (_, leased) = slow
        .log
        .wait_for(0, LIMIT, |line| says(line, "leased "))
        .await
        .with_context(|| node.log.text())?;
    let leased = leased.value.as_str().unwrap_or_default().to_owned();
    let ticket = leased.split(' ').nth(1).context("it names the ticket")?.to_owned();
    slow.kill()?;
    let quick = python.worker(&place.address(), &key, "python-quick", 0)?;
    let done = quick.log.wait_for(0, LIMIT, |line| says(line, "completed ")).await;
    let (_, done) = done.with_context(|| quick.log.text())?;
    assert_eq!(done.value, format!("completed {ticket} attempt=2"));
    let asset = uploading.await??.remove(0);
    let asset = shop.client.get_asset(GetAssetRequest { asset_id: asset }).await?;
    assert_eq!(asset.state(), AssetState::Ready);
    let picture = asset.picture.context("it was looked into")?;
    assert_eq!(picture.media_type, "image/jpeg");
    assert!(picture.width > 0 && picture.height > 0);

    let operator = Client::connect(&place.address(), Some(&place.operator_key()?))?;
    let ticket = operator.get_ticket(GetTicketRequest { ticket_id: ticket }).await?;
    let ends: Vec<_> =
        ticket.history.iter().map(|it| (it.holder.as_str(), it.end.as_str())).collect();
    assert_eq!(ends.iter().map(|(_, end)| *end).collect::<Vec<_>>(), ["lost", "done"]);
    let listed = operator.list_workers(ListWorkersRequest::default()).await?;
    let names = ends.iter().map(|(holder, _)| {
        let known = listed.workers.iter().find(|worker| worker.worker_id == *holder);
        known.map(|worker| worker.host.as_str())
    });
    assert_eq!(names.collect::<Vec<_>>(), [Some("python-slow"), Some("python-quick")]);
    assert_eq!((ticket.state.as_str(), ticket.lost_leases), ("done", 1));
    Ok(())
}

/// Uploads a photo, which somebody has to look into.
fn upload(place: &Place, shop: &Shop, folder: &str) -> JoinHandle<anyhow::Result<Vec<String>>> {
    let (shop, folder) = (shop.clone(), place.beside(folder));
    tokio::spawn(async move { shop.upload_photos(&folder, 1).await })
}

/// The next line of a log, from `from` on, that says this; and where that is.
async fn wait(worker: &PythonWorker, from: usize, what: &str) -> anyhow::Result<(usize, Line)> {
    let found = worker.log.wait_for(from, LIMIT, |line| says(line, what)).await;
    found.with_context(|| format!("no line says {what}: {}", worker.log.text()))
}

/// The ticket that the next line of a log, from `from` on, says was leased; and where that is.
async fn leased(worker: &PythonWorker, from: usize) -> anyhow::Result<(usize, String)> {
    let (at, line) = wait(worker, from, "leased ").await?;
    let text = line.value.as_str().unwrap_or_default();
    Ok((at, text.split(' ').nth(1).context("it names the ticket")?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_worker_is_drained_resumed_and_told_to_stop_by_operators() -> anyhow::Result<()> {
    let place = Place::new()?;
    let Some(python) = Python::prepare(&place.beside("stubs"))? else { return Ok(()) };
    let node = Node::serve(&place, "api,dispatcher").await?;
    let key = place.worker_key("asset.inspect", "inspect")?;
    let (operator, server) = (place.operator_key()?, place.address());
    let operate = |words: &[&str]| {
        let more = ["--json", "--key", operator.as_str()];
        place.json(&[words, &more].concat()).with_context(|| node.log.text())
    };
    // It takes its time, so that there is some to drain it in.
    let worker = python.worker(&server, &key, "python-1", 6)?;
    let shop = Shop::new(&server, &place.merchant_key("Seller")?)?;
    let first = upload(&place, &shop, "first");
    let (at, ticket) = leased(&worker, 0).await.with_context(|| node.log.text())?;
    let listed = operate(&["workers", "list"])?;
    let id = listed[0]["workerId"].as_str().context("it is listed")?.to_owned();
    assert_eq!((&listed[0]["host"], &listed[0]["outside"]), (&json!("python-1"), &json!(true)));
    let client = Client::connect(&server, Some(&operator))?;
    let held = client.get_ticket(GetTicketRequest { ticket_id: ticket.clone() }).await?;
    assert_eq!(held.holder, id);

    // Drained, it leaves nothing behind and takes nothing more.
    operate(&["workers", "drain", &id])?;
    let (at, _) = wait(&worker, at, "draining").await?;
    let (at, done) = wait(&worker, at, "completed ").await?;
    assert_eq!(done.value, format!("completed {ticket} attempt=1"));
    first.await??;
    let second = upload(&place, &shop, "second");
    let other = python.worker(&server, &key, "python-2", 0)?;
    wait(&other, 0, "completed ").await?;
    second.await??;
    let begun = |line: &Line| says(line, "leased ");
    assert!(!worker.log.since(at).iter().any(begun), "{}", worker.log.text());
    other.kill()?;

    // Resumed, it goes on; and what it works on can be cancelled.
    operate(&["workers", "resume", &id])?;
    wait(&worker, at, "serving").await?;
    let third = upload(&place, &shop, "third");
    let (at, ticket) = leased(&worker, at).await?;
    operate(&["tickets", "cancel", &ticket, "--reason", "nobody wants it"])?;
    let (_, stopped) = wait(&worker, at, "stopped ").await?;
    assert_eq!(stopped.value, format!("stopped {ticket} attempt=1"));
    let ended = client.get_ticket(GetTicketRequest { ticket_id: ticket }).await?;
    assert_eq!((ended.state.as_str(), ended.history[0].end.as_str()), ("cancelled", "cancelled"));
    let refused = third.await?.expect_err("its picture was not looked into");
    assert!(format!("{refused:#}").contains("nobody wants it"), "{refused:#}");
    Ok(())
}
