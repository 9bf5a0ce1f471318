//! An order's history, and what must be true of it: nothing lost, nothing twice.

use anyhow::{bail, ensure};
use printmill_client::Client;
use printmill_client::v1::{ListOrderEventsRequest, ListOrdersRequest, Order, OrderEvent};
use std::collections::BTreeMap;

/// All events of an order, oldest first.
pub async fn of_order(client: &Client, order: &str) -> anyhow::Result<Vec<OrderEvent>> {
    let mut events: Vec<OrderEvent> = vec![];
    loop {
        let after_sequence = events.last().map_or(0, |event| event.sequence);
        let request =
            ListOrderEventsRequest { order_id: order.into(), after_sequence, page_size: 100 };
        let page = client.list_order_events(request).await?.events;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}

/// Checks that a merchant has so many orders, each of another reference.
pub async fn check_all_once(client: &Client, wanted: usize) -> anyhow::Result<()> {
    let mut references: BTreeMap<String, u32> = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListOrdersRequest { page_size: 100, page_token, ..Default::default() };
        let page = client.list_orders(request).await?;
        for order in page.orders {
            *references.entry(order.reference).or_default() += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    ensure!(references.len() == wanted, "{} of {wanted} are there", references.len());
    ensure!(references.values().all(|count| *count == 1), "twice: {references:?}");
    Ok(())
}

/// Checks a shipped order of one item: each step once, in order, numbered without gaps; one
/// charge, one file, one print job, one parcel.
pub async fn check_shipped(client: &Client, order: &Order) -> anyhow::Result<()> {
    let events = of_order(client, &order.id).await?;
    for (index, event) in events.iter().enumerate() {
        ensure!(event.sequence == index as i64 + 1, "gap in {}: {events:?}", order.id);
    }
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.kind.as_str()).or_default() += 1;
    }
    for kind in [
        "order.placed",
        "payment.requested",
        "payment.paid",
        "order.paid",
        "item.routed",
        "item.rendered",
        "print_job.accepted",
        "print_job.printing",
        "print_job.shipped",
        "order.shipped",
    ] {
        match counts.remove(kind) {
            Some(1) => {}
            other => bail!("{} has {kind} {} times", order.id, other.unwrap_or(0)),
        }
    }
    ensure!(counts.is_empty(), "{} has more: {counts:?}", order.id);
    let paid = order.payments.iter().filter(|payment| payment.state == "paid").count();
    ensure!(paid == 1 && order.payments.len() == 1, "{} was charged {paid} times", order.id);
    ensure!(order.shipments.len() == 1, "{} has {} parcels", order.id, order.shipments.len());
    ensure!(order.items.iter().all(|item| !item.file_sha256.is_empty()), "a file is missing");
    ensure!(order.items.iter().all(|item| item.issue.is_none()), "an issue is left");
    ensure!(order.sequence == events.len() as i64, "{} has other events", order.id);
    Ok(())
}
