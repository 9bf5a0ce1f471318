//! SIGKILL of the whole node at any moment: restarted, it finishes every accepted order once.

use crate::run_facilities;
use printmill_testkit::shop::order_request;
use printmill_testkit::{Chance, Node, Place, Shop, history};
use std::time::Duration;
use tokio::task::JoinSet;

const ORDERS: usize = 40;
const KILLS: usize = 8;
const LIMIT: Duration = Duration::from_secs(120);

/// Places an order, again and again with the same request id until it is answered: what a
/// careful seller does when a server dies.
async fn place_order(shop: Shop, print: String, number: usize) -> anyhow::Result<String> {
    let mut request = order_request(&print, &format!("order {number}"));
    request.request_id = format!("request-{number}");
    loop {
        match shop.client.create_order(request.clone()).await {
            Ok(order) => return Ok(order.id),
            Err(error) if error.retryable => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_any_moment_every_accepted_order_is_finished_once() -> anyhow::Result<()> {
    let mut chance = Chance::from_environment("node_killed");
    let place = Place::new()?;
    let mut node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let photos = shop.upload_photos(&place.beside("photos"), 3).await?;
    let print = shop.photobook(photos, 24).await?.id;

    let mut placing = JoinSet::new();
    let mut placed = 0;
    for _ in 0..KILLS {
        for _ in 0..ORDERS / KILLS {
            placing.spawn(place_order(shop.clone(), print.clone(), placed));
            placed += 1;
        }
        chance.any_moment(Duration::from_millis(1_500)).await;
        node.kill()?;
        node = Node::up(&place).await?;
    }
    let mut accepted = vec![];
    while let Some(order) = placing.join_next().await {
        accepted.push(order??);
    }
    assert_eq!(accepted.len(), ORDERS);
    for order in &accepted {
        let order = shop.shipped(order, LIMIT).await?;
        history::check_shipped(&shop.client, &order).await?;
    }

    history::check_all_once(&shop.client, ORDERS).await?;
    drop(node);
    Ok(())
}
