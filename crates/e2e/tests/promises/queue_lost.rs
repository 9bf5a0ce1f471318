//! The queue's file deleted: every open ticket is sent again.

use crate::run_facilities;
use printmill_testkit::{Node, Place, Shop, history};
use std::time::{Duration, Instant};

/// From the deletion to every open ticket being in work.
const RESENT_LIMIT: Duration = Duration::from_secs(60);
const ORDERS: usize = 12;

fn delete_queue(place: &Place) -> anyhow::Result<()> {
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let path = place.data().join(name);
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    assert!(place.data().join("printmill.db").exists(), "only the queue is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_running_nodes_every_open_ticket_is_sent_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _rest = Node::serve(&place, "api,dispatcher").await?;
    let worker = Node::serve(&place, "worker").await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let photos = shop.upload_photos(&place.beside("photos"), 2).await?;
    let print = shop.photobook(photos, 24).await?.id;
    assert_eq!(worker.stop().await?, 0);

    let mut orders = vec![];
    for number in 0..ORDERS {
        orders.push(shop.order(&print, &format!("order {number}")).await?.id);
    }
    delete_queue(&place)?;
    let deleted = Instant::now();
    let worker = Node::serve(&place, "worker").await?;
    let charged = |line: &printmill_testkit::log::Line| {
        line.message() == "ticket started"
            && line.field("kind").is_some_and(|kind| kind == "payment.charge")
    };
    let mut from = 0;
    for _ in 0..ORDERS {
        let left = RESENT_LIMIT.saturating_sub(deleted.elapsed());
        let Some((next, _)) = worker.log.wait_for(from, left, charged).await else {
            anyhow::bail!("not all tickets were sent again: {}", worker.log.text());
        };
        from = next;
    }
    println!("{ORDERS} tickets in work again after {:?}", deleted.elapsed());
    for order in &orders {
        let order = shop.shipped(order, Duration::from_secs(120)).await?;
        history::check_shipped(&shop.client, &order).await?;
    }
    Ok(())
}
