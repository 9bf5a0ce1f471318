//! The worker role: charges, inspects, routes and renders.

use crate::config::Settings;
use crate::spot::Notice;
use crate::supervised::Parent;
use crate::wiring::Backends;
use printmill_backend::fresh;
use printmill_domain::Timestamp;
use printmill_domain::ids::WorkerId;
use printmill_domain::lane::Lane;
use printmill_engine::LEASE;
use printmill_engine::control::Introduction;
use printmill_engine::lease::Leases;
use printmill_engine::metrics::Metrics;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Short work at the same time: it waits for others more than it computes.
const EXPRESS_CONCURRENCY: usize = 16;

/// A worker that was retired has as long as it needs.
const RETIRED_DRAIN: Duration = Duration::from_secs(365 * 86_400);

/// What a worker serves. One that a supervisor starts is one of as many as there are cores, and
/// keeps to one of them.
pub(crate) fn lanes(settings: &Settings, supervised: bool) -> Vec<ServedLane> {
    let cores = match supervised {
        true => 1,
        false => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let renders = settings.render_concurrency.and_then(|count| usize::try_from(count).ok());
    let lane = |lane, concurrency| ServedLane { lane, concurrency };
    vec![
        lane(Lane::express(), EXPRESS_CONCURRENCY),
        lane(Lane::inspect(), cores),
        lane(Lane::render(), renders.unwrap_or(cores)),
    ]
}

/// Works until `shutdown`, then lets running work finish within the drain time. A spot notice shuts
/// the whole node down, and hands the work back at once. A worker that its supervisor
/// retires finishes everything.
pub(crate) async fn run(
    settings: &Settings,
    backends: &Backends,
    metrics: Metrics,
    parent: Option<&Parent>,
    shutdown: CancellationToken,
) {
    let Backends { database, queue, clock, .. } = backends.clone();
    let spool = super::handlers::spool(settings);
    if let Err(error) = tokio::fs::create_dir_all(&spool).await {
        // Renders say so with their own code, and are tried again.
        tracing::warn!(%error, spool = %spool.display(), "spool could not be made");
    }
    let handlers = super::handlers::all(settings, backends);
    let drain = Duration::from_secs(settings.drain_seconds);
    let introduction = introduction(clock.now());
    let options = WorkerOptions {
        holder: introduction.id.to_string(),
        lanes: lanes(settings, parent.is_some()),
        drain: if parent.is_some() { RETIRED_DRAIN } else { drain },
    };
    let leases = Leases::new(database, queue, clock, LEASE);
    let notice = settings.spot_notice.as_deref().and_then(Notice::parse);
    let noticed = async {
        match notice {
            None => std::future::pending().await,
            Some(notice) => {
                notice.wait().await;
                tracing::warn!("spot notice, handing everything back");
                if let Some(parent) = parent {
                    parent.say_leaving();
                }
                shutdown.cancel();
            }
        }
    };
    let worker = Worker::new(leases, handlers, metrics, options).introduced(introduction);
    let Some(parent) = parent else {
        return worker.run_until(shutdown.clone().cancelled_owned(), noticed).await;
    };
    let leave = async {
        tokio::select! {
            () = parent.retired.cancelled() => {}
            () = shutdown.cancelled() => {}
        }
    };
    let hand_back = async {
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            () = noticed => {}
            () = drained => {}
        }
    };
    worker.watched_by(parent.report()).run_until(leave, hand_back).await;
}

/// How this process presents itself to operators, and names itself on the tickets that it holds.
fn introduction(now: Timestamp) -> Introduction {
    let id: WorkerId = fresh::id(now);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let introduction = Introduction {
        id,
        host,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    tracing::info!(worker = %id, host = introduction.host, "worker starts");
    introduction
}
