//! Jobs that do nothing, through the whole engine on SQLite: how many in a second, and how soon
//! one is picked up; against the same adapters and a table of jobs by hand, in the same run.

use crate::table::{self, Times};
use crate::{raw_backend, raw_jobs};
use clap::Args;
use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::{
    Change, Clock, Database, Queue, SystemClock, TicketGuard, TicketWrite, fresh,
};
use printmill_domain::Timestamp;
use printmill_domain::ids::{Id, MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use printmill_engine::LEASE;
use printmill_engine::handler::{Failure, Handler, Handlers, Work};
use printmill_engine::lease::Leases;
use printmill_engine::metrics::Metrics;
use printmill_engine::relay::Relay;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const KIND: &str = "bench.nothing";

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Jobs of a round, committed before it begins.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Jobs of the pickup round, one after the other.
    #[arg(long, default_value_t = 500)]
    pickups: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { jobs: 20_000, pickups: 500 }
    }
}

/// Does nothing, and says when it did.
struct Nothing {
    started: mpsc::UnboundedSender<Instant>,
}

#[async_trait::async_trait]
impl Handler for Nothing {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn perform(&self, _: &Work) -> Result<Value, Failure> {
        let _ = self.started.send(Instant::now());
        Ok(Value::Null)
    }

    async fn decide(&self, work: &Work, _: &Value, now: Timestamp) -> Result<Change, Failure> {
        Ok(Change::new(work.ticket.merchant, now))
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut rows = vec![];
    for (workers, concurrency) in [(1, 1), (8, 1), (64, 1), (1, 64)] {
        // A fresh place for each round, so that none works on what another left.
        let place = tempfile::tempdir()?;
        let took = round(place.path(), options.jobs, workers, concurrency).await?;
        let batch = concurrency.min(32);
        let adapters = by_adapters(place.path(), options.jobs, workers, batch).await?;
        let raw =
            raw_jobs::round(&place.path().join("raw.db"), options.jobs, workers, batch).await?;
        let rate = |took: Duration| options.jobs as f64 / took.as_secs_f64();
        rows.push(vec![
            format!("{workers} × {concurrency}"),
            format!("{:.0}", rate(took)),
            format!("{:.0}", rate(adapters)),
            format!("{:.2}", rate(took) / rate(adapters)),
            format!("{:.0}", rate(raw)),
            format!("{:.2}", rate(took) / rate(raw)),
        ]);
    }
    table::print(
        "Jobs that do nothing, from a backlog, SQLite, synchronous=FULL (goal: ratio ≥ 0.85)",
        &[
            "workers × jobs at once",
            "engine, jobs/s",
            "adapters by hand, jobs/s",
            "ratio",
            "table by hand, jobs/s",
            "ratio",
        ],
        &rows,
    );
    let place = tempfile::tempdir()?;
    let mut times = pickups(place.path(), options.pickups).await?;
    let quantile = |times: &mut Times, share| format!("{:.1} ms", times.quantile_ms(share));
    table::print(
        "From the commit being asked for to its handler starting, one job at a time",
        &["jobs", "p50", "p99"],
        &[vec![times.len().to_string(), quantile(&mut times, 0.5), quantile(&mut times, 0.99)]],
    );
    Ok(())
}

/// An engine on files of its own.
struct Site {
    database: Arc<dyn Database>,
    started: mpsc::UnboundedReceiver<Instant>,
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Site {
    async fn open(path: &Path) -> anyhow::Result<Arc<dyn Database>> {
        let url = format!("sqlite://{}", path.join("main.db").display());
        Ok(Arc::new(SqlDatabase::open(&url).await?))
    }

    async fn start(
        path: &Path,
        database: Arc<dyn Database>,
        workers: usize,
        concurrency: usize,
    ) -> anyhow::Result<Self> {
        let url = format!("sqlite://{}", path.join("queue.db").display());
        let queue: Arc<dyn Queue> = Arc::new(SqlQueue::open(&url).await?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Metrics::register(&prometheus::Registry::new())?;
        let (sender, started) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let relay = Relay::new(database.clone(), queue.clone(), clock.clone(), metrics.clone());
        running.spawn(relay.run(stop.clone().cancelled_owned()));
        for number in 0..workers {
            let leases = Leases::new(database.clone(), queue.clone(), clock.clone(), LEASE);
            let handlers = Handlers::default().with(Nothing { started: sender.clone() });
            let options = WorkerOptions {
                holder: format!("worker {number}"),
                lanes: vec![ServedLane { lane: Lane::express(), concurrency }],
                drain: Duration::from_secs(1),
            };
            let worker = Worker::new(leases, handlers, metrics.clone(), options);
            running.spawn(worker.run(stop.clone().cancelled_owned()));
        }
        Ok(Self { database, started, running, stop })
    }

    /// Waits until no ticket is open.
    async fn until_done(&self) -> anyhow::Result<()> {
        let mut commits = self.database.commits();
        loop {
            commits.borrow_and_update();
            if self.database.ticket_counts().await?.is_empty() {
                return Ok(());
            }
            commits.changed().await?;
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

fn tickets(merchant: MerchantId, count: usize) -> Change {
    let now = SystemClock.now();
    let mut change = Change::new(merchant, now);
    for _ in 0..count {
        let id: TicketId = fresh::id(now);
        let payload = json!({ "number": id.uuid() });
        let ticket = Ticket::new(id, merchant, Lane::express(), KIND, payload, now);
        change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    }
    change
}

async fn round(
    path: &Path,
    jobs: usize,
    workers: usize,
    concurrency: usize,
) -> anyhow::Result<Duration> {
    let database = Site::open(path).await?;
    let merchant: MerchantId = fresh::id(SystemClock.now());
    for begin in (0..jobs).step_by(1_000) {
        database.commit(tickets(merchant, 1_000.min(jobs - begin))).await?;
    }
    let begun = Instant::now();
    let mut site = Site::start(path, database, workers, concurrency).await?;
    // Counting all the while would be work that the others do not do.
    for _ in 0..jobs {
        anyhow::ensure!(site.started.recv().await.is_some(), "the workers are gone");
    }
    site.until_done().await?;
    let took = begun.elapsed();
    site.stop().await;
    Ok(took)
}

/// The same jobs without the engine.
async fn by_adapters(
    path: &Path,
    jobs: usize,
    workers: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let url = format!("sqlite://{}", path.join("raw-main.db").display());
    let database = Arc::new(SqlDatabase::open(&url).await?);
    let merchant: MerchantId = fresh::id(SystemClock.now());
    let mut all = vec![];
    for begin in (0..jobs).step_by(1_000) {
        let change = tickets(merchant, 1_000.min(jobs - begin));
        all.extend(change.tickets.iter().map(|write| write.ticket.clone()));
        database.commit(change).await?;
    }
    raw_backend::round(path, database, all, workers, batch).await
}

async fn pickups(path: &Path, count: usize) -> anyhow::Result<Times> {
    let database = Site::open(path).await?;
    let mut site = Site::start(path, database, 1, 8).await?;
    let merchant: MerchantId = fresh::id(SystemClock.now());
    let mut times = Times::default();
    for _ in 0..count {
        let begun = Instant::now();
        site.database.commit(tickets(merchant, 1)).await?;
        let started = site.started.recv().await.unwrap_or(begun);
        times.push(started - begun);
        site.until_done().await?;
    }
    site.stop().await;
    Ok(times)
}
