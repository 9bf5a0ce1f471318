//! Workers under command: drained, resumed, given more and less to do. In paused time.

use crate::jobs::{Job, KIND};
use crate::link::Link;
use crate::site::{Running, Site, lane, pass, ticket_id};
use printmill_backend::Database;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, Clock, DatabaseExt, fresh};
use printmill_domain::aggregate::Versioned;
use printmill_domain::ids::{MerchantId, WorkerId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::{Stage, TicketState};
use printmill_domain::worker::{LaneSteering, Steering, Worker as Record};
use printmill_engine::HEARTBEAT;
use printmill_engine::cancel::CancelTicket;
use printmill_engine::command::{Commands, Context};
use printmill_engine::control::Introduction;
use printmill_engine::handler::Handlers;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use printmill_engine::workers::Workers;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A worker with two slots that keeps a record.
fn start(site: &Site, database: Arc<dyn Database>, handlers: Handlers) -> (WorkerId, Running) {
    let id = fresh::id(site.now());
    let options = WorkerOptions {
        holder: "a".into(),
        lanes: vec![ServedLane { lane: lane(), concurrency: 2 }],
        drain: Duration::from_secs(30),
    };
    let version = "0".to_owned();
    let introduction = Introduction { id, host: "host".into(), pid: 1, version };
    let leases = site.leases_through(database);
    let worker = Worker::new(leases, handlers, site.metrics.clone(), options);
    (id, Running::start(|stop| worker.introduced(introduction).run(stop)))
}

/// A job that takes half a minute.
fn slow() -> Job {
    Job::quick().performing(|_| async {
        pass(30).await;
        Ok(json!("performed"))
    })
}

fn workers(site: &Site) -> Workers {
    Workers::new(Commands::new(site.database.clone(), site.clock.clone()))
}

async fn record(site: &Site, id: WorkerId) -> Versioned<Record> {
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    site.database.find(scope, &id.to_string()).await.expect("memory").expect("it keeps a record")
}

/// Waits, commit by commit, until a worker's record is as wanted.
async fn until(site: &Site, id: WorkerId, wanted: impl Fn(&Record) -> bool) -> Record {
    let mut commits = site.database.commits();
    let waiting = async {
        loop {
            commits.borrow_and_update();
            let scope = Scope::Merchant(MerchantId::PLATFORM);
            let found: Option<Versioned<Record>> =
                site.database.find(scope, &id.to_string()).await.expect("memory");
            if let Some(found) = found.filter(|found| wanted(found)) {
                return found.value;
            }
            commits.changed().await.expect("memory");
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waiting).await.expect("within ten minutes")
}

async fn steer(site: &Site, id: WorkerId, wish: Steering) -> Record {
    let context = Context::of(MerchantId::PLATFORM);
    workers(site).steer(&context, id, &wish).await.expect("memory")
}

/// The same wish, whose ticket is lost.
async fn steer_unheard(site: &Site, id: WorkerId, wish: Steering) {
    let (found, now) = (record(site, id).await, site.now());
    let mut decided = found.steer(&wish, now).expect("a good wish");
    decided.tickets.clear();
    let change = Change::new(MerchantId::PLATFORM, now).update(&found, decided);
    site.database.commit(change).await.expect("memory");
}

fn draining(draining: bool) -> Steering {
    Steering { draining: Some(draining), lanes: vec![] }
}

fn lane_set(paused: Option<bool>, concurrency: Option<u16>) -> Steering {
    Steering { draining: None, lanes: vec![LaneSteering { lane: lane(), paused, concurrency }] }
}

async fn in_state(site: &Site, numbers: std::ops::Range<u64>, state: TicketState) -> usize {
    let mut count = 0;
    for number in numbers {
        count += usize::from(site.ticket(ticket_id(number)).await.state == state);
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_drained_worker_finishes_and_takes_nothing_until_it_is_resumed() {
    let site = Site::new();
    let relay = site.start_relay();
    let (id, worker) = start(&site, site.database.clone(), slow().handlers());
    let running = site.make(1, KIND).await;
    site.until_state(running, TicketState::Leased).await;
    let asked = site.now();
    let steered = steer(&site, id, draining(true)).await;
    assert!(steered.draining && steered.heeded < steered.revision);
    let heeded = until(&site, id, |worker| worker.heeded == worker.revision).await;
    assert!((heeded.seen_at - asked).to_std().unwrap() < HEARTBEAT, "it came at once");
    assert_eq!((heeded.running_count, heeded.running[0].ticket), (1, running));
    let waiting = site.make(2, KIND).await;
    site.until_state(running, TicketState::Done).await;
    pass(600).await;
    assert_eq!(site.ticket(waiting).await.attempt, 0, "it takes nothing new");
    let asked = site.now();
    steer(&site, id, draining(false)).await;
    let taken = site.until_state(waiting, TicketState::Leased).await;
    assert!((taken.updated_at - asked).to_std().unwrap() < HEARTBEAT, "it went on at once");
    site.until_state(waiting, TicketState::Done).await;
    worker.stop().await;
    relay.stop().await;
    let left = record(&site, id).await;
    assert!(left.gone && left.running_count == 0);
    let context = Context::of(MerchantId::PLATFORM);
    let refused = workers(&site).steer(&context, id, &draining(true)).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn a_lost_command_is_heard_with_a_heartbeat_or_with_the_next_report() {
    for busy in [true, false] {
        let site = Site::new();
        let relay = site.start_relay();
        let job = Job::quick().performing(|_| async {
            pass(300).await;
            Ok(json!("performed"))
        });
        let (id, worker) = start(&site, site.database.clone(), job.handlers());
        until(&site, id, |_| true).await;
        if busy {
            let running = site.make(1, KIND).await;
            site.until_state(running, TicketState::Leased).await;
            until(&site, id, |worker| worker.running_count == 1).await;
        }
        pass(20).await;
        let asked = site.now();
        steer_unheard(&site, id, draining(true)).await;
        let heeded = until(&site, id, |worker| worker.heeded == worker.revision).await;
        let late = (heeded.seen_at - asked).to_std().unwrap();
        let most = if busy { HEARTBEAT } else { Duration::from_secs(60) };
        assert!(late <= most, "busy: {busy}, {late:?}");
        let waiting = site.make(2, KIND).await;
        pass(100).await;
        assert_eq!(site.ticket(waiting).await.attempt, 0);
        steer(&site, id, draining(false)).await;
        site.until_state(waiting, TicketState::Leased).await;
        worker.crash().await;
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_grows_and_shrinks_and_what_runs_is_not_disturbed() {
    let site = Site::new();
    let relay = site.start_relay();
    let job = slow();
    let counts = job.counts();
    let (id, worker) = start(&site, site.database.clone(), job.handlers());
    for number in 0..20 {
        site.make(number, KIND).await;
    }
    pass(1).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Leased).await, 2);
    steer(&site, id, lane_set(None, Some(6))).await;
    pass(1).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Leased).await, 6, "it grew at once");
    steer(&site, id, lane_set(None, Some(1))).await;
    pass(20).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Leased).await, 6, "what runs goes on");
    pass(20).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Done).await, 6);
    assert_eq!(in_state(&site, 0..20, TicketState::Leased).await, 1, "one at a time from now on");
    steer(&site, id, lane_set(Some(true), None)).await;
    pass(600).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Leased).await, 0, "the lane is paused");
    assert_eq!(record(&site, id).await.lanes[0].concurrency(), 1);
    steer(&site, id, lane_set(Some(false), Some(256))).await;
    site.until_state(ticket_id(19), TicketState::Leased).await;
    pass(40).await;
    assert_eq!(in_state(&site, 0..20, TicketState::Done).await, 20);
    assert_eq!(counts.performed(), 20, "nothing was begun twice");
    worker.stop().await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn commands_to_a_worker_that_died_do_not_pile_up() {
    let site = Site::new();
    let relay = site.start_relay();
    let (id, dying) = start(&site, site.database.clone(), slow().handlers());
    until(&site, id, |_| true).await;
    dying.crash().await;
    let handlers = Handlers::default();
    let cancels = handlers.clone().with(CancelTicket::new(site.database.clone(), handlers));
    let other = site.start_worker("other", cancels);
    for round in 0..10 {
        steer(&site, id, draining(round % 2 == 0)).await;
        pass(1).await;
    }
    pass(120).await;
    let own = Lane::worker(&id);
    let open = async || {
        let counts = site.database.ticket_counts().await.unwrap();
        counts.into_iter().filter(|count| count.of.lane == own).collect::<Vec<_>>()
    };
    let over = [Stage::Done, Stage::Cancelled];
    let left: Vec<_> =
        open().await.into_iter().filter(|count| !over.contains(&count.stage)).collect();
    assert!(left.is_empty(), "{left:?}");
    pass(180).await;
    let silent = record(&site, id).await;
    assert!(silent.is_silent(site.clock.now()));
    let before = open().await;
    steer(&site, id, draining(true)).await;
    assert_eq!(open().await, before, "nobody is there to tell");
    assert!(record(&site, id).await.draining, "but it is kept, should it come back");
    other.stop().await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_work_reports_once_a_minute_and_survives_its_database() {
    let site = Site::new();
    let link = Link::to(&site.database);
    let (id, worker) = start(&site, link.clone(), Handlers::default());
    until(&site, id, |_| true).await;
    pass(3_601).await;
    let version = record(&site, id).await.version;
    assert!((55..=63).contains(&version), "{version} reports in an hour");
    link.cut();
    steer_unheard(&site, id, lane_set(None, Some(5))).await;
    pass(600).await;
    assert!(record(&site, id).await.heeded == 0);
    link.mend();
    until(&site, id, |worker| worker.heeded == 1).await;
    let page = Page { before: None, limit: 10, state: Some("here".into()) };
    assert_eq!(workers(&site).list(page.clone()).await.unwrap().len(), 1);
    worker.stop().await;
    assert_eq!(workers(&site).list(page).await.unwrap().len(), 0);
}
