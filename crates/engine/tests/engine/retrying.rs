//! Failures: tried again with pauses in bounds, given up when hopeless or too many.

use crate::jobs::{Job, KIND, hopeless, notice, passing};
use crate::site::{Running, Site, pass};
use chrono::TimeDelta;
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, DatabaseExt};
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::MerchantId;
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_engine::handler::Failure;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

fn policy(failures_max: u32) -> RetryPolicy {
    let (base, ceiling) = (TimeDelta::seconds(4), TimeDelta::seconds(10));
    RetryPolicy { failures_max, base, ceiling, ..RetryPolicy::default() }
}

/// Runs one ticket to its end with a job.
async fn run_to_end(site: &Site, job: Job) -> Ticket {
    let running = [site.start_relay(), site.start_worker("a", job.handlers())];
    let id = site.make(1, KIND).await;
    let ended = site.until(id, |ticket| ticket.state.is_final()).await;
    assert_eq!(site.held().await, 0, "its message is settled");
    pass(120).await;
    assert_eq!(site.ticket(id).await, ended, "the end is the end");
    for one in running {
        one.stop().await;
    }
    assert_eq!(site.metrics.in_work.get(), 0);
    ended
}

async fn names(site: &Site) -> Vec<String> {
    site.effects().await.iter().map(|made| made.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_tried_again_after_a_pause_in_bounds() {
    let site = Site::new();
    let starts: Arc<Mutex<Vec<_>>> = Arc::default();
    let (clock, seen) = (site.clock.clone(), starts.clone());
    let job = Job::quick().retrying(policy(9)).performing(move |work| {
        let now = printmill_backend::Clock::now(&*clock);
        seen.lock().unwrap().push(now);
        async move { if work.ticket.attempt < 5 { Err(passing()) } else { Ok("performed".into()) } }
    });
    let done = run_to_end(&site, job).await;
    assert_eq!((done.state, done.attempt, done.failures), (TicketState::Done, 5, 4));
    assert_eq!(done.last_error, Some(passing().problem), "for people who look at it");
    assert_eq!(names(&site).await, ["effect of attempt 5"]);
    let starts = starts.lock().unwrap().clone();
    for (pause, full) in starts.windows(2).map(|two| two[1] - two[0]).zip([4, 8, 10, 10]) {
        let full = TimeDelta::seconds(full);
        // The relay looks for due tickets a few times a second.
        assert!(pause >= full / 2 && pause <= full + TimeDelta::milliseconds(300), "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_failure_is_given_up_at_once_and_people_see_it() {
    let site = Site::new();
    let job = Job::quick().performing(|_| async { Err(hopeless()) });
    let counts = job.counts();
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt, dead.failures), (TicketState::Dead, 1, 1));
    assert_eq!(dead.last_error, Some(hopeless().problem));
    assert_eq!((counts.performed(), names(&site).await), (1, vec!["given up".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn work_waits_for_what_is_away_and_goes_on_when_it_is_back() {
    let site = Site::new();
    let job = Job::quick().retrying(policy(3)).performing(move |work| async move {
        match work.ticket.attempt {
            ..=40 => Err(Failure::passing(away())),
            41 | 42 => Err(passing()),
            _ => Ok("performed".into()),
        }
    });
    let done = run_to_end(&site, job).await;
    // Each attempt that found it away waited, and only the two that failed count.
    assert_eq!((done.state, done.attempt, done.failures), (TicketState::Done, 43, 2));
    assert_eq!(names(&site).await, ["effect of attempt 43"]);
}

fn away() -> Problem {
    Problem::new(Code::Unavailable, "the store does not answer", "wait")
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_allowed_is_the_last() {
    let site = Site::new();
    let job = Job::quick().retrying(policy(3)).performing(|_| async { Err(passing()) });
    let counts = job.counts();
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt, dead.failures), (TicketState::Dead, 3, 3));
    assert_eq!((counts.performed(), names(&site).await), (3, vec!["given up".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_rules_is_hopeless_and_a_busy_backend_is_not() {
    let refusal = Problem::invalid_state("no", "wait");
    let site = Site::new();
    let job = Job::quick().deciding(move |_, _| {
        let refusal = refusal.clone();
        async move { Err(refusal.into()) }
    });
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt), (TicketState::Dead, 1));

    let site = Site::new();
    let job = Job::quick().retrying(policy(3)).deciding(|work, now| async move {
        let busy = Problem::new(Code::Unavailable, "busy", "wait");
        if work.ticket.attempt == 1 {
            return Err(busy.into());
        }
        Ok(crate::jobs::effect(&work.ticket, now))
    });
    let done = run_to_end(&site, job).await;
    assert_eq!((done.state, done.attempt), (TicketState::Done, 2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_performing_is_a_failed_attempt() {
    let site = Site::new();
    let job = Job::quick().retrying(policy(3)).performing(|work| async move {
        assert!(work.ticket.attempt > 1, "on purpose");
        Ok("performed".into())
    });
    let done = run_to_end(&site, job).await;
    assert_eq!((done.state, done.attempt, done.failures), (TicketState::Done, 2, 1));
    assert_eq!(done.last_error.unwrap().code, Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_deciding_is_a_failed_attempt() {
    let site = Site::new();
    let job = Job::quick().retrying(policy(3)).deciding(|_, _| async { panic!("on purpose") });
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt, dead.failures), (TicketState::Dead, 3, 3));
    assert_eq!(dead.last_error.unwrap().code, Code::Internal);
    assert_eq!(names(&site).await, ["given up"]);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_dead_even_if_nobody_can_be_told() {
    let site = Site::new();
    let job = Job::quick()
        .performing(|_| async { Err(hopeless()) })
        .giving_up(|_, _, _| Err(Problem::not_found("order", "ord_1")));
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt), (TicketState::Dead, 1));

    let site = Site::new();
    let job = Job::quick()
        .performing(|_| async { Err(hopeless()) })
        .giving_up(|_, _, _| panic!("on purpose"));
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, dead.attempt), (TicketState::Dead, 1));
}

#[tokio::test(start_paused = true)]
async fn giving_up_waits_for_a_backend_that_comes_back() {
    let site = Site::new();
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    let job =
        Job::quick().performing(|_| async { Err(hopeless()) }).giving_up(move |work, _, now| {
            match asking.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Problem::new(Code::Unavailable, "busy", "wait")),
                _ => Ok(notice(&work.ticket, now)),
            }
        });
    let dead = run_to_end(&site, job).await;
    assert_eq!((dead.state, asked.load(Ordering::SeqCst)), (TicketState::Dead, 2));
    assert_eq!(names(&site).await, ["given up"]);
}

/// A record that many change at once.
async fn shared(site: &Site) -> Versioned<Merchant> {
    let id = crate::site::merchant();
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    if let Some(found) = site.database.find(scope, &id.to_string()).await.expect("memory") {
        return found;
    }
    let value = Merchant { id, name: String::new(), created_at: site.now() };
    let change = Change::new(id, site.now()).create(Decided::quiet(value.clone()));
    site.database.commit(change).await.expect("memory");
    Versioned { version: 1, value }
}

fn appended(before: &Versioned<Merchant>, letter: &str) -> Decided<Merchant> {
    let name = format!("{}{letter}", before.name);
    Decided::quiet(Merchant { name, ..before.value.clone() })
}

#[tokio::test(start_paused = true)]
async fn what_changed_before_the_commit_is_decided_again_but_not_performed_again() {
    let site = Arc::new(Site::new());
    shared(&site).await;
    let (inner, rivals) = (site.clone(), AtomicU32::new(0));
    let job = Job::quick().deciding(move |work, now| {
        let (site, rival) = (inner.clone(), rivals.fetch_add(1, Ordering::SeqCst) < 2);
        async move {
            let before = shared(&site).await;
            if rival {
                let faster = Change::new(work.ticket.merchant, now);
                let change = faster.update(&before, appended(&before, "r"));
                site.database.commit(change).await.unwrap();
            }
            Ok(Change::new(work.ticket.merchant, now).update(&before, appended(&before, "w")))
        }
    });
    let counts = job.counts();
    let done = run_to_end(&site, job).await;
    assert_eq!((done.state, done.attempt, done.failures), (TicketState::Done, 1, 0));
    assert_eq!((counts.performed(), counts.decided()), (1, 3));
    assert_eq!(shared(&site).await.name, "rrw", "nobody's change is lost");
}

#[tokio::test(start_paused = true)]
async fn what_changes_all_the_time_is_tried_again_later() {
    let site = Arc::new(Site::new());
    shared(&site).await;
    let inner = site.clone();
    let job = Job::quick().deciding(move |work, now| {
        let site = inner.clone();
        async move {
            let before = shared(&site).await;
            if work.ticket.attempt == 1 {
                let faster = Change::new(work.ticket.merchant, now);
                let change = faster.update(&before, appended(&before, "r"));
                site.database.commit(change).await.unwrap();
            }
            Ok(Change::new(work.ticket.merchant, now).update(&before, appended(&before, "w")))
        }
    });
    let done = run_to_end(&site, job).await;
    assert_eq!((done.state, done.attempt, done.failures), (TicketState::Done, 2, 1));
    assert_eq!(done.last_error.unwrap().code, Code::Conflict);
    assert!(shared(&site).await.name.ends_with("rw"));
}

#[tokio::test(start_paused = true)]
async fn one_bad_ticket_does_not_hold_up_the_others() {
    let site = Site::new();
    let job = Job::quick().performing(|work| async move {
        assert!(work.ticket.payload["number"] != 0, "on purpose");
        Ok("performed".into())
    });
    let running: [Running; 2] = [site.start_relay(), site.start_worker("a", job.handlers())];
    for number in 0..30 {
        site.make(number, KIND).await;
    }
    let begun = site.now();
    for number in 1..30 {
        site.until_state(crate::site::ticket_id(number), TicketState::Done).await;
    }
    assert!(site.now() - begun < TimeDelta::seconds(1));
    for one in running {
        one.stop().await;
    }
}
