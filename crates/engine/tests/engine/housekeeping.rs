//! Housekeeping, from its schedule to what it deletes. In paused time.

use crate::jobs::KIND;
use crate::site::{Running, Site, merchant, pass, ticket_id};
use chrono::TimeDelta;
use printmill_backend::database::Scope;
use printmill_backend::{Change, Clock, Database, DatabaseExt, RequestRecord, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::MerchantId;
use printmill_domain::schedule::Schedule;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::worker::Worker;
use printmill_engine::handler::{Handler, Handlers, Work};
use printmill_engine::housekeeping::{self, Housekeeping, Retention};
use printmill_engine::scheduler::Scheduler;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn retention() -> Retention {
    let (requests, done_tickets) = (TimeDelta::days(30), TimeDelta::days(20));
    let gone_workers = TimeDelta::days(1);
    Retention { requests, done_tickets, events: TimeDelta::days(365), gone_workers }
}

async fn answer(site: &Site, id: &str, days_ago: i64) {
    let at = site.now() - TimeDelta::days(days_ago);
    let (id, outcome) = (id.to_owned(), "ord".to_owned());
    let request = RequestRecord { id, fingerprint: String::new(), outcome, at };
    let change = Change::new(merchant(), at).answering(Some(request));
    site.database.commit(change).await.expect("a new request");
}

async fn remembered(site: &Site, id: &str) -> bool {
    site.database.request(merchant(), id).await.expect("memory").is_some()
}

/// Moves a ticket that was just made to a state, so many days ago.
async fn settle(site: &Site, number: u64, state: TicketState, days_ago: i64) {
    let made = site.ticket(site.make(number, KIND).await).await;
    let updated_at = site.now() - TimeDelta::days(days_ago);
    let settled = Ticket { state, updated_at, version: 2, ..made };
    let change = Change::new(merchant(), updated_at).ticket(settled, 1);
    site.database.commit(change).await.expect("it is as it was made");
}

async fn is_kept(site: &Site, number: u64) -> bool {
    !site.database.tickets(&[ticket_id(number)]).await.expect("memory").is_empty()
}

fn handler(site: &Site) -> Housekeeping {
    Housekeeping::new(site.database.clone(), site.clock.clone(), retention())
}

#[tokio::test(start_paused = true)]
async fn when_its_time_comes_what_is_old_is_deleted_and_nothing_else() {
    let site = Site::new();
    for (id, days_ago) in [("old", 31), ("young", 29)] {
        answer(&site, id, days_ago).await;
    }
    let all = [(1, TicketState::Done, 21), (2, TicketState::Done, 19), (3, TicketState::Dead, 99)];
    for (number, state, days_ago) in all {
        settle(&site, number, state, days_ago).await;
    }
    let made = Schedule::create(housekeeping::definition("30 12 * * *", "UTC"), site.now());
    let change = Change::new(MerchantId::PLATFORM, site.now()).create(made.expect("it is good"));
    site.database.commit(change).await.expect("it is new");
    let (database, clock) = (site.database.clone(), site.clock.clone());
    let scheduler = Scheduler::new(database, clock, site.metrics.clone());
    let scheduler = Running::start(|stop| scheduler.run(stop));
    let relay = site.start_relay();
    let worker = site.start_worker("w", Handlers::default().with(handler(&site)));

    pass(1_700).await;
    assert!(is_kept(&site, 1).await, "it is not yet half past twelve");
    pass(200).await;
    assert_eq!((remembered(&site, "old").await, remembered(&site, "young").await), (false, true));
    let kept = [is_kept(&site, 1).await, is_kept(&site, 2).await, is_kept(&site, 3).await];
    assert_eq!(kept, [false, true, true], "dead tickets wait for a person");
    let kind = [housekeeping::KIND, "done"];
    assert_eq!(site.metrics.settled.with_label_values(&kind).get(), 1, "one run is enough");
    worker.stop().await;
    relay.stop().await;
    scheduler.stop().await;
}

/// A clock that is ten years ahead.
struct Ahead(Arc<dyn Clock>);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now() + TimeDelta::days(3_650)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_years_ahead_does_not_delete_years() {
    let site = Site::new();
    for (id, days_ago) in [("old", 29), ("young", 20)] {
        answer(&site, id, days_ago).await;
    }
    let clock = Arc::new(Ahead(site.clock.clone()));
    let definition = housekeeping::definition("30 3 * * *", "UTC");
    let schedule = Schedule::create(definition, site.now()).expect("it is good").state;
    let ticked = schedule.tick(clock.now(), &Default::default()).expect("it is due");
    let work = Work::new(ticked.tickets[0].clone(), CancellationToken::new());
    let handler = Housekeeping::new(site.database.clone(), clock, retention());
    printmill_engine::handler::Handler::perform(&handler, &work).await.expect("memory");
    assert_eq!((remembered(&site, "old").await, remembered(&site, "young").await), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_breaks_it_off() {
    let site = Site::new();
    answer(&site, "old", 99).await;
    let definition = housekeeping::definition("30 3 * * *", "UTC");
    let run = Schedule::create(definition, site.now()).expect("it is good").state.run(site.now());
    let leaving = CancellationToken::new();
    leaving.cancel();
    let work = Work::new(run.tickets[0].clone(), leaving);
    let failure = printmill_engine::handler::Handler::perform(&handler(&site), &work).await;
    assert!(!failure.expect_err("it is cancelled").hopeless, "another attempt goes on");
    assert!(remembered(&site, "old").await);
}

#[tokio::test(start_paused = true)]
async fn workers_that_have_been_silent_for_a_day_are_given_up_and_no_others() {
    let site = Site::new();
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let mut ids = vec![];
    for hours in [23, 25] {
        let (id, seen) = (fresh::id(site.now()), site.now() - TimeDelta::hours(hours));
        let worker = Worker::begin(id, "host".into(), 1, "0".into(), vec![], seen);
        let change = Change::new(MerchantId::PLATFORM, seen).create(Decided::quiet(worker));
        site.database.commit(change).await.unwrap();
        ids.push(id.to_string());
    }
    let ticket = site.ticket(site.make(1, housekeeping::KIND).await).await;
    let work = Work::new(ticket, CancellationToken::new());
    let change = handler(&site).decide(&work, &serde_json::Value::Null, site.now()).await.unwrap();
    site.database.commit(change).await.unwrap();
    let found: Vec<Versioned<Worker>> = site.database.find_many(scope, &ids).await.unwrap();
    assert_eq!(found.iter().map(|worker| worker.gone).collect::<Vec<_>>(), [false, true]);
    assert_eq!(found[1].seen_at, site.now() - TimeDelta::hours(25), "when it was last seen stays");
}

#[tokio::test(start_paused = true)]
async fn workers_that_have_been_gone_for_a_day_are_forgotten() {
    let site = Site::new();
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let mut ids = vec![];
    for hours in [23, 25] {
        let (id, left) = (fresh::id(site.now()), site.now() - TimeDelta::hours(hours));
        let worker = Worker::begin(id, "host".into(), 1, "0".into(), vec![], left).leave(left);
        let change = Change::new(MerchantId::PLATFORM, left).create(Decided::quiet(worker));
        site.database.commit(change).await.unwrap();
        ids.push(id.to_string());
    }
    let definition = housekeeping::definition("30 3 * * *", "UTC");
    let run = Schedule::create(definition, site.now()).expect("it is good").state.run(site.now());
    let work = Work::new(run.tickets[0].clone(), CancellationToken::new());
    let pruned = handler(&site).perform(&work).await.expect("memory");
    assert_eq!(pruned["workers"], 1);
    let left: Vec<Versioned<Worker>> = site.database.find_many(scope, &ids).await.unwrap();
    assert_eq!((left.len(), left[0].id.to_string()), (1, ids[0].clone()));
}
