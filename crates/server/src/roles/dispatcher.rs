//! The dispatcher role: tickets to the queue, events into order, lost tickets back, schedules on
//! time.

use crate::wiring::Backends;
use printmill_engine::metrics::Metrics;
use printmill_engine::reconciler::Reconciler;
use printmill_engine::relay::{Relay, TurnPolicy};
use printmill_engine::scheduler::Scheduler;
use printmill_engine::sequencer::Sequencer;
use tokio_util::sync::CancellationToken;

/// Dispatches until `shutdown`.
pub(crate) async fn run(
    backends: &Backends,
    policy: TurnPolicy,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let Backends { database, queue, clock, .. } = backends.clone();
    let relay = Relay::new(database.clone(), queue.clone(), clock.clone(), metrics.clone());
    let relay = relay.with_policy(policy);
    let scheduler = Scheduler::new(database.clone(), clock.clone(), metrics.clone());
    let reconciler = Reconciler::new(database.clone(), queue, clock, metrics);
    let sequencer = Sequencer::new(database);
    tokio::join!(
        relay.run(shutdown.clone().cancelled_owned()),
        scheduler.run(shutdown.clone().cancelled_owned()),
        sequencer.run(shutdown.clone().cancelled_owned()),
        reconciler.run(shutdown.cancelled_owned()),
    );
}
