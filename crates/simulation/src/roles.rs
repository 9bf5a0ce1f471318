//! The processes of a site: each role as the server runs it, started again whenever it ends.

use crate::api::Api;
use crate::broker::SimulatedQueue;
use crate::chores::Chore;
use crate::database::SimulatedDatabase;
use crate::facility;
use crate::gateway::SimulatedGateway;
use crate::history::What;
use crate::locked;
use crate::press::FakePress;
use crate::process::{Process, SimulatedClock};
use crate::run::Without;
use crate::schedules::Tick;
use crate::site::Site;
use printmill_backend::database::EventQuery;
use printmill_backend::{Clock, Database, Queue, fresh};
use printmill_domain::ids::FacilityId;
use printmill_domain::lane::Lane;
use printmill_engine::LEASE;
use printmill_engine::budget::MemoryBudget;
use printmill_engine::cancel::CancelTicket;
use printmill_engine::control::Introduction;
use printmill_engine::event_counter::EventCounter;
use printmill_engine::handler::Handlers;
use printmill_engine::lease::Leases;
use printmill_engine::reconciler::Reconciler;
use printmill_engine::relay::Relay;
use printmill_engine::scheduler::Scheduler;
use printmill_engine::sequencer::Sequencer;
use printmill_engine::subscription::Subscriptions;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use printmill_fulfilment::Route;
use printmill_orders::Charge;
use printmill_prints::Render;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// How the names of workers begin.
pub(crate) const WORKER: &str = "worker-";

/// What a process is.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Api,
    Worker,
    Dispatcher,
    Facility(FacilityId),
    /// Reads the log from where it stopped: the cursor outlives it.
    Reader,
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Worker => "worker",
            Role::Dispatcher => "dispatcher",
            Role::Facility(_) => "facility",
            Role::Reader => "reader",
        }
    }

    async fn run(self, process: Arc<Process>) {
        match self {
            Role::Api => api(process).await,
            Role::Worker => work(process).await,
            Role::Dispatcher => dispatch(process).await,
            Role::Facility(facility) => facility::run(process, facility).await,
            Role::Reader => read(process).await,
        }
    }
}

/// Runs a process, and another whenever it ended or died.
pub(crate) async fn keep_up(site: Arc<Site>, role: Role, number: usize) {
    for run in 1.. {
        let name = format!("{}-{number}.{run}", role.name());
        let process = Arc::new(Process::new(&site, name));
        process.note("starts".into());
        locked(&site.processes).push(process.clone());
        let mut task = AbortOnDropHandle::new(tokio::spawn(role.clone().run(process.clone())));
        let ended = tokio::select! {
            biased;
            () = process.died() => None,
            ended = &mut task => Some(ended),
        };
        if let Some(Err(broken)) = ended {
            process.record(What::Wrong(format!("{broken}")));
        }
        // Whatever of it still runs makes no more calls.
        process.die();
        drop(task);
        locked(&site.processes).retain(|up| !Arc::ptr_eq(up, &process));
        let most = if site.is_calm() { 1_000 } else { 15_000 };
        tokio::time::sleep(site.chance.millis(10..=most)).await;
    }
}

/// What a process talks to.
struct Backends {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
}

impl Backends {
    fn of(process: &Arc<Process>) -> Self {
        Self {
            database: Arc::new(SimulatedDatabase(process.clone())),
            queue: Arc::new(SimulatedQueue::of(process)),
            clock: Arc::new(SimulatedClock(process.clone())),
        }
    }
}

/// Takes an api node out of the list, however it ends.
struct Listed(Arc<Api>, Arc<Site>);

impl Drop for Listed {
    fn drop(&mut self) {
        locked(&self.1.apis).retain(|api| !Arc::ptr_eq(api, &self.0));
    }
}

async fn api(process: Arc<Process>) {
    let site = process.site.clone();
    let api = Arc::new(Api::new(&process));
    locked(&site.apis).push(api.clone());
    let _listed = Listed(api, site);
    process.leaving.cancelled().await;
}

async fn work(process: Arc<Process>) {
    let site = process.site.clone();
    let Backends { database, queue, clock } = Backends::of(&process);
    let gateway = Arc::new(SimulatedGateway(process.clone()));
    let spool = std::env::temp_dir();
    let memory = MemoryBudget::new(0);
    let real = Render::new(database.clone(), site.blobs.clone(), spool, memory);
    let handlers = Handlers::default()
        .with(Charge::new(database.clone(), gateway))
        .with(Route::new(database.clone()))
        .with(Tick(process.clone()))
        .with(Chore(process.clone()))
        .with(FakePress { real, process: process.clone() });
    let handlers = handlers.clone().with(CancelTicket::new(database.clone(), handlers));
    let lane = |lane, concurrency| ServedLane { lane, concurrency };
    let options = WorkerOptions {
        holder: process.name.clone(),
        lanes: vec![lane(Lane::express(), 3), lane(Lane::render(), 2), lane(Lane::inspect(), 2)],
        drain: Duration::from_secs(5),
    };
    let introduction = Introduction {
        id: fresh::id(clock.now()),
        host: process.name.clone(),
        pid: 1,
        version: "simulation".into(),
    };
    let leases = Leases::new(database, queue, clock, LEASE);
    let worker = Worker::new(leases, handlers, site.metrics.clone(), options);
    let worker = worker.introduced(introduction);
    worker.run(process.leaving.clone().cancelled_owned()).await;
}

async fn dispatch(process: Arc<Process>) {
    let site = process.site.clone();
    let Backends { database, queue, clock } = Backends::of(&process);
    let metrics = site.metrics.clone();
    let turns = Arc::new(SimulatedQueue::of_relay(&process));
    let relay = Relay::new(database.clone(), turns, clock.clone(), metrics.clone());
    let relay = match site.without {
        Some(Without::Limits) => relay,
        _ => relay.with_policy(site.policy.clone()),
    };
    let scheduler = Scheduler::new(database.clone(), clock.clone(), metrics.clone());
    let consumers = site.consumers.clone();
    let consumers =
        Subscriptions::new(database.clone(), clock.clone(), consumers, process.name.clone())
            .with(EventCounter::new(database.clone()));
    let reconciler = Reconciler::new(database.clone(), queue, clock, metrics);
    let sequencer = Sequencer::new(database);
    let leaving = || process.leaving.clone().cancelled_owned();
    let reconciling = async {
        if site.without != Some(Without::Reconciler) {
            reconciler.run(leaving()).await;
        }
    };
    tokio::join!(
        relay.run(leaving()),
        sequencer.run(leaving()),
        scheduler.run(leaving()),
        consumers.run(leaving()),
        reconciling,
    );
}

async fn read(process: Arc<Process>) {
    let database = SimulatedDatabase(process.clone());
    while !process.leaving.is_cancelled() {
        let after = process.site.cursor.load(Ordering::Relaxed);
        let query = EventQuery { after, limit: 20, ..EventQuery::default() };
        if let Ok(events) = database.events(query).await
            && let Some(last) = events.last()
        {
            process.site.cursor.store(last.seq, Ordering::Relaxed);
            process.record(What::Read(events.iter().map(|event| event.seq).collect()));
        }
        tokio::time::sleep(process.site.chance.millis(100..=2_000)).await;
    }
}
