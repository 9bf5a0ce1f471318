//! The reconciler: finds tickets that the queue has lost, and sends them again.

use crate::metrics::Metrics;
use crate::relay::Relay;
use chrono::TimeDelta;
use printmill_backend::database::TicketQuery;
use printmill_backend::queue::Counted;
use printmill_backend::{BackendError, Clock, Database, Queue};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Stage;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How often to compare the database with the queue.
const ROUND: Duration = Duration::from_secs(10);
/// A ticket that was handed over so recently may simply be on its way.
const PATIENCE: TimeDelta = TimeDelta::seconds(15);
/// A ticket that waits so long is sent again even if the queue seems to hold enough, since
/// duplicates in the queue can hide a loss.
const PATIENCE_MAX: TimeDelta = TimeDelta::minutes(10);
/// How many tickets of a lane are sent again in a round.
const BATCH: u32 = 1_000;

/// Compares open tickets with what the queue holds.
pub struct Reconciler {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    relay: Relay,
}

impl Reconciler {
    /// A reconciler between a database and a queue.
    pub fn new(
        database: Arc<dyn Database>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let relay = Relay::new(database.clone(), queue.clone(), clock.clone(), metrics.clone());
        Self { database, queue, clock, metrics, relay }
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(ROUND) => {}
            }
            match self.round().await {
                Ok(0) => {}
                Ok(resent) => tracing::warn!(resent, "queue had lost tickets, sent them again"),
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "queue could not be compared with the tickets");
                }
            }
        }
    }

    /// Sends lost tickets of all lanes again; how many it were.
    pub async fn round(&mut self) -> Result<usize, BackendError> {
        // Those that wait for their time or turn are not in the queue, and rightly so. Some queues
        // do not count what is leased; then only those that should be ready are compared.
        let everything = self.queue.caps().counted == Counted::Everything;
        let mut open: BTreeMap<Lane, u64> = BTreeMap::new();
        let oldest = self.database.oldest_ready().await?;
        self.metrics.tickets.reset();
        self.metrics.oldest_ready_seconds.reset();
        for count in self.database.ticket_counts().await? {
            let labels = [count.of.lane.as_str(), count.stage.name()];
            let counted = i64::try_from(count.count).unwrap_or(i64::MAX);
            self.metrics.tickets.with_label_values(&labels).add(counted);
            self.metrics.oldest_ready_seconds.with_label_values(&labels[..1]).set(0.0);
            if matches!(count.stage, Stage::Sent | Stage::Leased) {
                let counted = everything || count.stage == Stage::Sent;
                *open.entry(count.of.lane).or_default() += if counted { count.count } else { 0 };
            }
        }
        let now = self.clock.now();
        for oldest in oldest {
            let age = (now - oldest.due_at).to_std().unwrap_or_default().as_secs_f64();
            let lane = [oldest.lane.as_str()];
            let gauge = self.metrics.oldest_ready_seconds.with_label_values(&lane);
            gauge.set(gauge.get().max(age));
        }
        let mut resent = 0;
        for (lane, count) in open {
            let held = self.queue.stats(&lane).await?.total();
            let patience = if held >= count { PATIENCE_MAX } else { PATIENCE };
            let before = self.clock.now() - patience;
            let query = TicketQuery::Overdue { lane, before };
            let lost = self.database.find_tickets(query, BATCH).await?;
            resent += lost.len();
            self.relay.hand_over(lost).await?;
        }
        self.metrics.resent.inc_by(resent as u64);
        Ok(resent)
    }
}
