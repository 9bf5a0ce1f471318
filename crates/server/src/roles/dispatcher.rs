//! The dispatcher role: tickets to the queue, events into order and to their consumers, lost
//! tickets back, schedules on time.

use crate::wiring::Backends;
use printmill_engine::event_counter::EventCounter;
use printmill_engine::metrics::Metrics;
use printmill_engine::reconciler::Reconciler;
use printmill_engine::relay::{Relay, TurnPolicy};
use printmill_engine::scheduler::Scheduler;
use printmill_engine::sequencer::Sequencer;
use printmill_engine::subscription::{SubscriptionMetrics, Subscriptions};
use tokio_util::sync::CancellationToken;

/// Dispatches until `shutdown`.
pub(crate) async fn run(
    backends: &Backends,
    policy: TurnPolicy,
    metrics: Metrics,
    consumed: SubscriptionMetrics,
    shutdown: CancellationToken,
) {
    let Backends { database, queue, clock, .. } = backends.clone();
    let relay = Relay::new(database.clone(), queue.clone(), clock.clone(), metrics.clone());
    let relay = relay.with_policy(policy);
    let scheduler = Scheduler::new(database.clone(), clock.clone(), metrics.clone());
    let reconciler = Reconciler::new(database.clone(), queue, clock.clone(), metrics);
    let holder = format!("dispatcher-{}", std::process::id());
    let subscriptions = Subscriptions::new(database.clone(), clock, consumed, holder)
        .with(EventCounter::new(database.clone()));
    let sequencer = Sequencer::new(database);
    tokio::join!(
        relay.run(shutdown.clone().cancelled_owned()),
        scheduler.run(shutdown.clone().cancelled_owned()),
        sequencer.run(shutdown.clone().cancelled_owned()),
        subscriptions.run(shutdown.clone().cancelled_owned()),
        reconciler.run(shutdown.cancelled_owned()),
    );
}
