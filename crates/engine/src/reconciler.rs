//! The reconciler: finds tickets that the queue has lost, and sends them again.

use crate::metrics::Metrics;
use crate::relay::Relay;
use chrono::TimeDelta;
use printmill_backend::database::TicketQuery;
use printmill_backend::{BackendError, Clock, Database, Queue};
use printmill_domain::lane::Lane;
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
/// No pause between two attempts is longer.
const HORIZON: TimeDelta = TimeDelta::days(1);
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
        let mut open: BTreeMap<Lane, u64> = BTreeMap::new();
        for lane in self.database.lane_counts().await? {
            *open.entry(lane.lane).or_default() += lane.count;
        }
        // Those that wait for their next attempt are not in the queue, and rightly so.
        let waiting = TicketQuery::Unsent { due_by: self.clock.now() + HORIZON };
        for ticket in self.database.find_tickets(waiting, BATCH).await? {
            open.entry(ticket.lane).and_modify(|count| *count = count.saturating_sub(1));
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
