//! Tickets of kinds that a worker does not know, as while a new version is rolled out.

use crate::jobs::{Job, KIND};
use crate::site::{Site, pass};
use printmill_domain::ticket::TicketState;
use printmill_engine::handler::Handlers;

#[tokio::test(start_paused = true)]
async fn a_ticket_of_an_unknown_kind_is_handed_back_now_and_then_and_waits_for_who_knows_it() {
    let site = Site::new();
    let relay = site.start_relay();
    let old = site.start_worker("old version", Handlers::default());
    let id = site.make(1, KIND).await;
    site.until(id, |ticket| ticket.attempt > 0).await;
    pass(60).await;
    let waiting = site.ticket(id).await;
    assert!((2..=100).contains(&waiting.attempt), "neither kept nor tossed about: {waiting:?}");
    assert_eq!((waiting.failures, waiting.state.is_final()), (0, false));
    let new = site.start_worker("new version", Job::quick().handlers());
    pass(20).await;
    old.stop().await;
    let left = site.now();
    let done = site.until_state(id, TicketState::Done).await;
    assert!(done.updated_at - left <= chrono::TimeDelta::seconds(1), "{done:?}");
    for running in [new, relay] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_leaves_at_once_with_a_ticket_that_it_does_not_know() {
    let site = Site::new();
    let relay = site.start_relay();
    let worker = site.start_worker("a", Handlers::default());
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    let asked = site.now();
    worker.stop().await;
    assert!(site.now() - asked <= chrono::TimeDelta::seconds(5));
    assert_eq!(site.ticket(id).await.state, TicketState::Queued);
    relay.stop().await;
}
