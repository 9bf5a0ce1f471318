//! An order goes from an upload to shipped, and its file can be fetched.

use super::run::Run;
use anyhow::{Result, ensure};
use printmill_client::v1::{GetItemFileRequest, GetOrderRequest};
use printmill_testkit::shop::reread_pages;

pub(super) async fn goes_through(run: &mut Run) -> Result<()> {
    let place = run.deployment.place();
    let photos = run.shop.upload_photos(&place.beside("photos"), 2).await?;
    let photobook = run.shop.photobook(photos, 24).await?.id;
    let slow = std::mem::replace(&mut run.print, photobook);
    let orders = run.place_orders(1).await?;
    run.print = slow;
    run.all_shipped(&orders).await?;

    let client = &run.shop.client;
    let order = client.get_order(GetOrderRequest { order_id: orders[0].clone() }).await?;
    let item_id = order.items[0].id.clone();
    let link = client.get_item_file(GetItemFileRequest { order_id: order.id, item_id }).await?;
    let path = run.deployment.place().beside("book.pdf");
    client.download(&link, &path, |_, _| {}).await?;
    let pages = reread_pages(&std::fs::read(&path)?)?;
    ensure!(pages == 24, "the file has {pages} pages");
    Ok(())
}
