//! Heartbeats: long work keeps its lease.

use crate::jobs::{Job, KIND};
use crate::link::Link;
use crate::site::{Site, pass};
use printmill_domain::ticket::TicketState;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn work_of_ten_minutes_is_claimed_once() {
    let site = Site::new();
    let relay = site.start_relay();
    let reconciler = site.reconciler();
    let reconciler = crate::site::Running::start(|stop| reconciler.run(stop));
    let job = Job::quick().performing(|work| async move {
        for tenth in 1..=10 {
            pass(60).await;
            work.report(tenth * 100);
            work.say(format!("tenth {tenth}"));
        }
        Ok(json!("performed"))
    });
    let counts = job.counts();
    let workers =
        [site.start_worker("a", job.clone().handlers()), site.start_worker("b", job.handlers())];
    let (id, started) = (site.make(1, KIND).await, site.now());
    let half = site.until(id, |ticket| ticket.progress == 500).await;
    assert_eq!(half.message, "tenth 5");
    assert!(half.lease_until.unwrap() > site.now(), "the lease is always ahead");
    let done = site.until_state(id, TicketState::Done).await;
    assert!(site.now() - started >= chrono::TimeDelta::minutes(10));
    assert_eq!((done.attempt, done.failures, done.progress), (1, 0, 1_000));
    assert_eq!((counts.performed(), site.effects().await.len()), (1, 1));
    assert_eq!(site.held().await, 0, "the last heartbeat's message is settled");
    for running in workers.into_iter().chain([relay, reconciler]) {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_is_made_up_for_by_the_next() {
    let site = Site::new();
    let relay = site.start_relay();
    let link = Link::to(&site.database);
    let job = Job::quick().performing(|_| async {
        pass(30).await;
        Ok(json!("performed"))
    });
    let worker = site.start_worker_through(link.clone(), "a", job.clone().handlers());
    let other = site.start_worker("b", job.handlers());
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    link.cut();
    pass(5).await;
    link.mend();
    let done = site.until_state(id, TicketState::Done).await;
    assert_eq!((done.attempt, site.effects().await.len()), (1, 1));
    for running in [worker, other, relay] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_work_of_a_crashed_worker_is_taken_over_when_its_lease_ends() {
    let site = Site::new();
    let relay = site.start_relay();
    let endless = Job::quick().performing(|_| std::future::pending());
    let worker = site.start_worker("a", endless.handlers());
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    pass(100).await;
    let crashed = site.now();
    worker.crash().await;
    let other = site.start_worker("b", Job::quick().handlers());
    let done = site.until_state(id, TicketState::Done).await;
    assert_eq!((done.attempt, done.failures), (2, 0), "a lost lease is no failure");
    assert!(done.updated_at - crashed <= chrono::TimeDelta::seconds(11));
    for running in [other, relay] {
        running.stop().await;
    }
}
