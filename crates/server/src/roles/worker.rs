//! The worker role: charges, inspects, routes and renders.

use crate::config::Settings;
use crate::wiring::Backends;
use printmill_domain::lane::Lane;
use printmill_engine::LEASE;
use printmill_engine::budget::MemoryBudget;
use printmill_engine::handler::Handlers;
use printmill_engine::housekeeping::Housekeeping;
use printmill_engine::lease::Leases;
use printmill_engine::metrics::Metrics;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Short work at the same time: it waits for others more than it computes.
const EXPRESS_CONCURRENCY: usize = 16;

/// Pictures that are held at the same time, in bytes. One that must be decoded takes up to 96 MiB
/// more; together they stay below 256 MiB.
const PICTURE_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// Works until `shutdown`, then lets running work finish within the drain time.
pub(crate) async fn run(
    settings: &Settings,
    backends: &Backends,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let Backends { database, queue, blobs, payments, clock } = backends.clone();
    let spool = settings.data.join("spool");
    if let Err(error) = tokio::fs::create_dir_all(&spool).await {
        // Renders say so with their own code, and are tried again.
        tracing::warn!(%error, spool = %spool.display(), "spool could not be made");
    }
    let housekeeping = Housekeeping::new(database.clone(), clock.clone(), settings.retention());
    let memory = MemoryBudget::new(PICTURE_BYTES_MAX);
    let handlers = Handlers::default()
        .with(housekeeping)
        .with(printmill_assets::Inspect::new(database.clone(), blobs.clone(), memory.clone()))
        .with(printmill_orders::Charge::new(database.clone(), payments))
        .with(printmill_fulfilment::Route::new(database.clone()))
        .with(printmill_prints::Render::new(database.clone(), blobs, spool, memory));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let renders = settings.render_concurrency.and_then(|count| usize::try_from(count).ok());
    let lane = |lane, concurrency| ServedLane { lane, concurrency };
    let options = WorkerOptions {
        holder: format!("worker-{}", std::process::id()),
        lanes: vec![
            lane(Lane::express(), EXPRESS_CONCURRENCY),
            lane(Lane::inspect(), cores),
            lane(Lane::render(), renders.unwrap_or(cores)),
        ],
        drain: Duration::from_secs(settings.drain_seconds),
    };
    let leases = Leases::new(database, queue, clock, LEASE);
    Worker::new(leases, handlers, metrics, options).run(shutdown.cancelled_owned()).await;
}
