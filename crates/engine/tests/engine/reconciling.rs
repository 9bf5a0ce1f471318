//! The reconciler: a queue that lost everything is filled again, and one that did not is let be.

use crate::jobs::{Job, KIND, passing};
use crate::site::{Running, Site, pass, take, ticket_id};
use crate::wrapped_queue::WrappedQueue;
use chrono::TimeDelta;
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::TicketState;
use printmill_engine::lease::Leases;
use printmill_engine::reconciler::Reconciler;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn after_the_queue_was_emptied_all_tickets_are_sent_again_within_a_minute() {
    let site = Site::new();
    let relay = site.start_relay();
    let reconciler = site.reconciler();
    let reconciler = Running::start(|stop| reconciler.run(stop));
    for number in 0..40 {
        site.make(number, KIND).await;
    }
    site.until(ticket_id(39), |ticket| ticket.sent_at.is_some()).await;
    // One is held by a worker that crashes in the same moment.
    let held = site.lease_now("crashed").await.remove(0);
    site.queue.wipe();
    let emptied = site.now();
    let job = Job::quick();
    let counts = job.counts();
    let worker = site.start_worker("a", job.handlers());
    for number in 0..40 {
        let done = site.until_state(ticket_id(number), TicketState::Done).await;
        assert!(done.updated_at - emptied <= TimeDelta::seconds(60), "{done:?}");
    }
    assert_eq!((counts.performed(), site.effects().await.len()), (40, 40));
    assert_eq!(site.ticket(held.ticket.id).await.attempt, 2);
    assert_eq!(site.metrics.resent.get(), 40);
    for running in [worker, relay, reconciler] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_the_queue_is_emptied_under_it() {
    let site = Site::new();
    let relay = site.start_relay();
    let reconciler = site.reconciler();
    let reconciler = Running::start(|stop| reconciler.run(stop));
    let job = Job::quick().performing(|_| async {
        pass(90).await;
        Ok(json!("performed"))
    });
    let counts = job.counts();
    let workers =
        [site.start_worker("a", job.clone().handlers()), site.start_worker("b", job.handlers())];
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    site.queue.wipe();
    let done = site.until_state(id, TicketState::Done).await;
    assert_eq!((done.attempt, counts.performed(), site.effects().await.len()), (1, 1, 1));
    for running in workers.into_iter().chain([relay, reconciler]) {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_when_the_queue_holds_everything() {
    let site = Site::new();
    let relay = site.start_relay();
    for number in 0..40 {
        site.make(number, KIND).await;
    }
    site.until(ticket_id(39), |ticket| ticket.sent_at.is_some()).await;
    // Some are held, one waits for its next attempt and is rightly not in the queue.
    let held = site.lease_now("a").await;
    let policy = RetryPolicy {
        base: TimeDelta::hours(1),
        ceiling: TimeDelta::hours(1),
        ..RetryPolicy::default()
    };
    site.fail(&held[0], passing().problem, &policy).await;
    let mut reconciler = site.reconciler();
    for _ in 0..9 {
        pass(60).await;
        assert_eq!(reconciler.round().await.unwrap(), 0, "after {}", site.now());
    }
    assert_eq!(site.metrics.resent.get(), 0);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_count_what_others_hold_has_lost_nothing() {
    let site = Site::new();
    let relay = site.start_relay();
    for number in 0..40 {
        site.make(number, KIND).await;
    }
    site.until(ticket_id(39), |ticket| ticket.sent_at.is_some()).await;
    let (database, hour) = (site.database.clone(), Duration::from_secs(3_600));
    let holders = Leases::new(database.clone(), site.queue.clone(), site.clock.clone(), hour);
    let held = take(&holders, 10, Duration::ZERO, "elsewhere").await.unwrap();
    assert_eq!(held.len(), 10);
    let queue = Arc::new(WrappedQueue::shortsighted(&site.queue));
    let metrics = site.metrics.clone();
    let mut reconciler = Reconciler::new(database, queue, site.clock.clone(), metrics);
    pass(60).await;
    assert_eq!(reconciler.round().await.unwrap(), 0);
    // What is really lost is found as ever.
    site.queue.wipe();
    assert_eq!(reconciler.round().await.unwrap(), 30);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_duplicates_hide_is_found_in_the_end() {
    let site = Site::new();
    site.make(1, KIND).await;
    let relay = site.start_relay();
    pass(1).await;
    relay.stop().await;
    site.queue.wipe();
    // Another message keeps the count right.
    let stray = printmill_backend::queue::Message {
        ticket: ticket_id(99),
        trace: None,
        delay: std::time::Duration::from_secs(86_400),
    };
    let sent = printmill_backend::Queue::send(&*site.queue, &crate::site::lane(), &[stray]).await;
    assert!(sent.iter().all(Result::is_ok));
    let mut reconciler = site.reconciler();
    pass(300).await;
    assert_eq!(reconciler.round().await.unwrap(), 0);
    pass(301).await;
    assert_eq!(reconciler.round().await.unwrap(), 1);
    assert_eq!(site.lease_now("a").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_says_how_long_the_oldest_that_is_ready_has_waited() {
    let site = Site::new();
    let first = site.make(1, KIND).await;
    pass(40).await;
    site.make(2, KIND).await;
    pass(2).await;
    let mut reconciler = site.reconciler();
    let name = crate::site::lane();
    let oldest = || site.metrics.oldest_ready_seconds.with_label_values(&[name.as_str()]).get();
    assert_eq!(reconciler.round().await.unwrap(), 0);
    assert_eq!(oldest(), 42.0);
    site.relay().pump().await.unwrap();
    for leased in site.lease_now("a").await {
        let effect = crate::jobs::effect(&leased.ticket, site.now());
        let leases = site.leases();
        leases.complete(&leased.ticket, &leased.fence, &leased.receipt, effect).await.unwrap();
    }
    assert_eq!(site.ticket(first).await.state, TicketState::Done);
    site.make(3, KIND).await;
    pass(1).await;
    reconciler.round().await.unwrap();
    assert_eq!(oldest(), 1.0);
}
