//! A worker in another language: it does real work over the public API, is killed, and its ticket
//! moves on to another.

use anyhow::Context;
use printmill_client::Client;
use printmill_client::v1::{AssetState, GetAssetRequest, GetTicketRequest};
use printmill_testkit::log::Line;
use printmill_testkit::{Node, Place, Python, Shop};
use std::time::Duration;

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
    assert_eq!(ends, [("python-slow", "lost"), ("python-quick", "done")]);
    assert_eq!((ticket.state.as_str(), ticket.lost_leases), ("done", 1));
    Ok(())
}
