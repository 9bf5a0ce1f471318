//! An order goes from photos on disk to shipped.

use crate::run_facilities;
use printmill_client::v1::{GetItemFileRequest, Link};
use printmill_testkit::{Node, Place, Shop, history};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

async fn goes_through(place: &Place) -> anyhow::Result<()> {
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(place)?;
    let photos = shop.upload_photos(&place.beside("photos"), 5).await?;
    let print = shop.photobook(photos, 24).await?;
    let order = shop.order(&print.id, "first").await?;
    let order = shop.shipped(&order.id, LIMIT).await?;
    history::check_shipped(&shop.client, &order).await?;

    let item = &order.items[0];
    assert!(item.route_reason.starts_with("Berlin Print House"), "{}", item.route_reason);
    let request = GetItemFileRequest { order_id: order.id.clone(), item_id: item.id.clone() };
    let link: Link = shop.client.get_item_file(request).await?;
    let path = place.beside("book.pdf");
    shop.client.download(&link, &path, |_, _| {}).await?;
    let pdf = std::fs::read(&path)?;
    assert_eq!(i64::try_from(pdf.len())?, item.file_size);
    let reread = printmill_testkit::shop::reread_pages(&pdf)?;
    assert_eq!(reread, 24);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    goes_through(&place).await?;
    assert_eq!(node.stop().await?, 0, "a drained node ends well");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_each_role_in_a_process_of_its_own() -> anyhow::Result<()> {
    let place = Place::new()?;
    let api = Node::serve(&place, "api").await?;
    let dispatcher = Node::serve(&place, "dispatcher").await?;
    let worker = Node::serve(&place, "worker").await?;
    goes_through(&place).await?;
    for node in [worker, dispatcher, api] {
        assert_eq!(node.stop().await?, 0, "a drained node ends well");
    }
    Ok(())
}
