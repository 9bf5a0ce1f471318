//! Housekeeping: a built-in schedule that prunes what would grow without end, and gives up workers
//! that have been silent for a day.

use crate::handler::{Failure, Handler, Work};
use crate::workers;
use async_trait::async_trait;
use chrono::TimeDelta;
use printmill_backend::database::Prunable;
use printmill_backend::{Change, Clock, Database};
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::schedule::{Definition, MissedTicks, TicketTemplate};
use serde_json::{Value, json};
use std::sync::Arc;

/// The name of its schedule.
pub const NAME: &str = "housekeeping";
/// The kind of its tickets.
pub const KIND: &str = "housekeeping.prune";
/// Rows deleted in one transaction; commits of others go in between.
const BATCH: u32 = 500;
/// A run goes at most so far beyond the previous one: a clock that is years ahead for a moment
/// must not delete years.
const STRIDE: TimeDelta = TimeDelta::days(2);

/// How long things are kept when they are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Requests, from when they were answered.
    pub requests: TimeDelta,
    /// Tickets that are done, from when they were. Dead ones are kept.
    pub done_tickets: TimeDelta,
    /// Events, from when they happened.
    pub events: TimeDelta,
    /// Records of workers that are gone, from when they left or were given up.
    pub gone_workers: TimeDelta,
}

/// The schedule, ticking as a cron line says by the clock of a zone. One run is enough, however
/// many were missed.
pub fn definition(cron: &str, zone: &str) -> Definition {
    let makes = TicketTemplate {
        lane: Lane::express(),
        kind: KIND.into(),
        payload: serde_json::Map::new(),
    };
    let missed = MissedTicks::Once;
    Definition { name: NAME.into(), cron: cron.into(), zone: zone.into(), missed, makes }
}

/// Prunes.
pub struct Housekeeping {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    retention: Retention,
}

impl Housekeeping {
    /// Prunes a database after a retention.
    pub fn new(database: Arc<dyn Database>, clock: Arc<dyn Clock>, retention: Retention) -> Self {
        Self { database, clock, retention }
    }

    async fn prune(&self, work: &Work, what: Prunable, before: Timestamp) -> Result<u64, Failure> {
        let mut pruned = 0;
        loop {
            if work.is_cancelled() {
                let advice = "nothing is lost: the next run goes on";
                let problem = Problem::new(Code::Cancelled, "housekeeping was broken off", advice);
                return Err(Failure::passing(problem));
            }
            match self.database.prune(what, before, BATCH).await? {
                0 => return Ok(pruned),
                count => pruned += u64::from(count),
            }
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Handler for Housekeeping {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_schedulable(&self) -> bool {
        true
    }

    /// Deletes in parts. What is deleted stays so, whatever becomes of the ticket.
    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let limit = work.time("previous")?.checked_add_signed(STRIDE);
        let as_of = limit.unwrap_or(Timestamp::MAX_UTC).min(self.clock.now());
        let mut counts = [0; 4];
        for (count, what) in counts.iter_mut().zip(Prunable::ALL) {
            let keep = match what {
                Prunable::Requests => self.retention.requests,
                Prunable::DoneTickets => self.retention.done_tickets,
                Prunable::Events => self.retention.events,
                Prunable::GoneWorkers => self.retention.gone_workers,
            };
            if let Some(before) = as_of.checked_sub_signed(keep) {
                *count = self.prune(work, what, before).await?;
            }
        }
        let [requests, tickets, events, workers] = counts;
        tracing::info!(requests, tickets, events, workers, "pruned what is old");
        Ok(json!({
            "requests": requests, "tickets": tickets, "events": events, "workers": workers,
        }))
    }

    async fn decide(&self, work: &Work, _: &Value, now: Timestamp) -> Result<Change, Failure> {
        let change = Change::new(work.ticket.merchant, now);
        Ok(workers::give_up_lost(&*self.database, change).await?)
    }
}
