//! Shutdown: running work may finish, the rest is handed back, and nobody waits for a lease. In paused time.

use crate::jobs::{Job, KIND, effect};
use crate::link::Link;
use crate::site::{Site, lane, pass, ticket_id};
use chrono::TimeDelta;
use printmill_backend::Database;
use printmill_domain::ticket::TicketState;
use printmill_domain::ticket_history::AttemptEnd;
use printmill_engine::handler::Handlers;
use printmill_engine::worker::{Activity, ServedLane, Worker, WorkerOptions};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn work_that_ends_within_the_drain_time_is_finished() {
    let site = Site::new();
    let relay = site.start_relay();
    let job = Job::quick().performing(|_| async {
        pass(20).await;
        Ok(json!("performed"))
    });
    let counts = job.counts();
    let worker = site.start_worker("a", job.handlers());
    for number in 0..5 {
        site.make(number, KIND).await;
    }
    site.until_state(ticket_id(0), TicketState::Leased).await;
    let asked = site.now();
    worker.stop().await;
    let took = site.now() - asked;
    assert!(took >= TimeDelta::seconds(19) && took <= TimeDelta::seconds(21), "{took}");
    let done = site.effects().await.len();
    assert_eq!((counts.performed(), done), (2, 2), "what ran is done, nothing new is begun");
    for number in 2..5 {
        assert_eq!(site.ticket(ticket_id(number)).await.attempt, 0);
    }
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_longer_is_handed_back_and_taken_on_at_once() {
    let site = Site::new();
    let relay = site.start_relay();
    let endless = Job::quick().performing(|_| std::future::pending());
    let worker = site.start_worker("leaving", endless.handlers());
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    let other = site.start_worker("staying", Job::quick().handlers());
    let asked = site.now();
    worker.stop().await;
    let left = site.now();
    assert_eq!((left - asked).num_seconds(), 30, "it left when the drain time was over");
    let done = site.until_state(id, TicketState::Done).await;
    assert!(done.updated_at - left < TimeDelta::seconds(1), "no lease was waited for");
    assert_eq!((done.attempt, done.failures, done.last_error), (2, 0, None), "no failure");
    for running in [other, relay] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_machine_is_about_to_go_hands_everything_back_at_once() {
    for draining in [false, true] {
        let site = Site::new();
        let relay = site.start_relay();
        let endless = Job::quick().performing(|_| std::future::pending());
        let (notice, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let options = WorkerOptions {
            holder: "leaving".into(),
            lanes: vec![ServedLane { lane: lane(), concurrency: 2 }],
            drain: Duration::from_secs(30),
        };
        let (leases, metrics) = (site.leases(), site.metrics.clone());
        let worker = Worker::new(leases, endless.handlers(), metrics, options);
        let (stop, gone) = (shutdown.clone().cancelled_owned(), notice.clone().cancelled_owned());
        let worker = tokio::spawn(worker.run_until(stop, gone));
        let ids = [site.make(1, KIND).await, site.make(2, KIND).await];
        for id in ids {
            site.until_state(id, TicketState::Leased).await;
        }
        if draining {
            shutdown.cancel();
            pass(5).await;
        }
        let noticed = site.now();
        notice.cancel();
        worker.await.unwrap();
        for id in ids {
            let attempt = site.ticket(id).await.history.remove(0);
            assert_eq!(attempt.end, Some(AttemptEnd::Released));
            let took = attempt.ended_at.unwrap() - noticed;
            assert!(took < TimeDelta::seconds(1), "{took}");
        }
        let other = site.start_worker("staying", Job::quick().handlers());
        for id in ids {
            let done = site.until_state(id, TicketState::Done).await;
            let waited = done.history[1].began_at - done.history[0].ended_at.unwrap();
            assert!(waited < TimeDelta::seconds(1), "no lease was waited for: {waited}");
        }
        for running in [other, relay] {
            running.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_comes_while_the_worker_drains_has_the_rest_handed_back() {
    let site = Site::new();
    let relay = site.start_relay();
    let endless = Job::quick().performing(|_| std::future::pending());
    let options = WorkerOptions {
        holder: "retired".into(),
        lanes: vec![ServedLane { lane: lane(), concurrency: 1 }],
        drain: Duration::from_secs(1_000_000),
    };
    let worker = Worker::new(site.leases(), endless.handlers(), site.metrics.clone(), options);
    let retired = tokio_util::sync::CancellationToken::new();
    let leave = retired.clone().cancelled_owned();
    let worker = crate::site::Running::start(|notice| worker.run_until(leave, notice));
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Leased).await;
    retired.cancel();
    pass(3_600).await;
    assert_eq!(site.ticket(id).await.state, TicketState::Leased, "it may take as long as it takes");
    let (asked, late) = (site.now(), site.make(2, KIND).await);
    worker.stop().await;
    assert_eq!(site.now(), asked, "it is handed back at once");
    let tickets = [site.ticket(id).await, site.ticket(late).await];
    assert_eq!(
        tickets.map(|ticket| (ticket.state, ticket.attempt)),
        [(TicketState::Queued, 1), (TicketState::Queued, 0),]
    );
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_worker_is_told_of_each_ticket_and_its_end() {
    let site = Site::new();
    let relay = site.start_relay();
    let job = Job::quick().performing(|_| async {
        pass(7).await;
        Ok(json!("performed"))
    });
    let options = WorkerOptions {
        holder: "watched".into(),
        lanes: vec![ServedLane { lane: lane(), concurrency: 1 }],
        drain: Duration::ZERO,
    };
    let told: std::sync::Arc<std::sync::Mutex<Vec<String>>> = Default::default();
    let telling = told.clone();
    let worker = Worker::new(site.leases(), job.handlers(), site.metrics.clone(), options)
        .watched_by(std::sync::Arc::new(move |activity| {
            telling.lock().unwrap().push(match activity {
                Activity::Begun(ticket) => format!("{} begun", ticket.kind),
                Activity::Ended { ticket, outcome, took } => {
                    format!("{} {outcome} after {} s", ticket.kind, took.as_secs())
                }
            });
        }));
    let worker = crate::site::Running::start(|stop| worker.run(stop));
    let id = site.make(1, KIND).await;
    site.until_state(id, TicketState::Done).await;
    worker.stop().await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told, [format!("{KIND} begun"), format!("{KIND} done after 7 s")]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_leaves_at_once() {
    let site = Site::new();
    let worker = site.start_worker("a", Handlers::default());
    pass(7).await;
    let asked = site.now();
    worker.stop().await;
    assert_eq!(site.now(), asked);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_claimed_when_the_worker_leaves_is_not_left_behind() {
    let site = Site::new();
    // The claim is committed half a second after it was asked for.
    let link: std::sync::Arc<dyn Database> = Link::slow(&site.database, Duration::from_millis(500));
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let options = WorkerOptions {
        holder: "a".into(),
        lanes: vec![ServedLane { lane: lane(), concurrency: 1 }],
        drain: Duration::from_secs(30),
    };
    let handlers = Job::quick().handlers();
    let leases = site.leases_through(link);
    let worker = Worker::new(leases, handlers, site.metrics.clone(), options);
    let worker = crate::site::Running::start(|stop| worker.run(stop));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(site.ticket(id).await.state, TicketState::Queued);
    worker.stop().await;
    let after = site.ticket(id).await;
    assert!(after.state != TicketState::Leased, "held by somebody who left: {after:?}");
    assert_eq!(after.state, TicketState::Done, "it was delivered, so it was worked on");
}

#[tokio::test(start_paused = true)]
async fn a_released_ticket_is_sent_again_at_once() {
    let site = Site::new();
    let id = site.make(1, KIND).await;
    site.relay().pump().await.unwrap();
    let first = site.lease_now("first").await.remove(0);
    site.leases().release(&first.ticket, &first.fence, &first.receipt).await.unwrap();
    let released = site.ticket(id).await;
    assert_eq!((released.state, released.sent_at), (TicketState::Queued, None));
    assert_eq!(site.held().await, 0, "its old message is settled");
    site.relay().pump().await.unwrap();
    let second = site.lease_now("second").await.remove(0);
    assert_eq!((second.ticket.attempt, second.ticket.failures), (2, 0));
    let late = effect(&first.ticket, site.now());
    site.leases().complete(&first.ticket, &first.fence, &first.receipt, late).await.unwrap_err();
}
