//! The sequencer: every committed event gets its place in the log. In paused time.

use crate::link::Link;
use crate::site::{Running, Site, merchant, pass};
use printmill_backend::database::EventQuery;
use printmill_backend::{Change, Database};
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{Id, OrderId};
use printmill_engine::sequencer::Sequencer;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

async fn happen(site: &Site, stream: u128, sequences: std::ops::RangeInclusive<u64>) {
    let stream = OrderId::from_uuid(Uuid::from_u128(stream)).to_string();
    let mut change = Change::new(merchant(), site.now());
    change.events.extend(sequences.map(|sequence| EventDraft {
        stream: stream.clone(),
        sequence,
        kind: "order.placed".into(),
        subject: stream.clone(),
        data: json!({}),
    }));
    site.database.commit(change).await.expect("memory");
}

async fn check_log(site: &Site, count: u64) {
    assert_eq!(site.database.head().await.expect("memory"), count);
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = site.database.events(query).await.expect("memory");
    assert!(events.iter().map(|event| event.seq).eq(1..=count), "no gaps");
    let mut last = std::collections::BTreeMap::new();
    for event in events {
        let place = last.entry(event.draft.stream).or_insert(0);
        assert_eq!(event.draft.sequence, *place + 1, "each stream in its order");
        *place += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn all_events_are_numbered_without_gaps_in_the_order_of_their_streams() {
    let site = Site::new();
    happen(&site, 1, 1..=700).await;
    happen(&site, 2, 1..=700).await;
    let sequencer = Sequencer::new(site.database.clone());
    let sequencer = Running::start(|stop| sequencer.run(stop));
    happen(&site, 1, 701..=720).await;
    // Before the time when it would look again by itself.
    tokio::time::sleep(Duration::from_millis(100)).await;
    check_log(&site, 1_420).await;
    happen(&site, 2, 701..=701).await;
    tokio::task::yield_now().await;
    pass(1).await;
    check_log(&site, 1_421).await;
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_for_a_while_is_tried_again() {
    let site = Site::new();
    let link = Link::to(&site.database);
    link.cut();
    let sequencer = Sequencer::new(link.clone());
    let sequencer = Running::start(|stop| sequencer.run(stop));
    happen(&site, 1, 1..=3).await;
    pass(5).await;
    check_log(&site, 0).await;
    link.mend();
    pass(1).await;
    check_log(&site, 3).await;
    sequencer.stop().await;
}
