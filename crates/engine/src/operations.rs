//! What operators see of the engine, and how they steer it.

use printmill_backend::database::{DeadQuery, StageCount, TicketQuery};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database};
use printmill_domain::Timestamp;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Stage, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much work a lane has, of all merchants or of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLoad {
    /// The lane.
    pub lane: Lane,
    /// Whose work, if it is told apart.
    pub merchant: Option<MerchantId>,
    /// Tickets that are due, and wait for their turn or with the queue.
    pub ready: u64,
    /// Tickets that wait for their time.
    pub delayed: u64,
    /// Tickets that somebody holds.
    pub in_flight: u64,
    /// Tickets that were given up.
    pub dead: u64,
    /// Since when the one that is ready the longest has been due.
    pub oldest_ready: Option<Timestamp>,
}

/// Looks into the engine for operators. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
}

impl Operations {
    /// Looks into a database.
    pub fn new(database: Arc<dyn Database>, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// How much work each lane has, or each merchant in each lane.
    pub async fn lanes(&self, by_merchant: bool) -> Result<Vec<LaneLoad>, BackendError> {
        let mut loads: BTreeMap<(Lane, Option<MerchantId>), LaneLoad> = BTreeMap::new();
        let key = |lane: &Lane, merchant| (lane.clone(), by_merchant.then_some(merchant));
        for StageCount { of, stage, count } in self.database.ticket_counts().await? {
            let key = key(&of.lane, of.merchant);
            let load = loads.entry(key.clone()).or_insert_with(|| LaneLoad::empty(key));
            match stage {
                Stage::Waiting | Stage::Sent => load.ready += count,
                Stage::Delayed => load.delayed += count,
                Stage::Leased => load.in_flight += count,
                Stage::Dead => load.dead += count,
                Stage::Done | Stage::Cancelled => {}
            }
        }
        for oldest in self.database.oldest_ready().await? {
            if let Some(load) = loads.get_mut(&key(&oldest.lane, oldest.merchant)) {
                let since = load.oldest_ready.map_or(oldest.due_at, |it| it.min(oldest.due_at));
                load.oldest_ready = Some(since);
            }
        }
        Ok(loads.into_values().collect())
    }

    /// A ticket with its history.
    pub async fn ticket(&self, id: TicketId) -> Result<Ticket, Problem> {
        let found = self.database.tickets(&[id]).await?.into_iter().next();
        found.ok_or_else(|| Problem::not_found("ticket", id))
    }

    /// Tickets that were given up, the longest due first.
    pub async fn dead_tickets(
        &self,
        query: DeadQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        self.database.find_tickets(TicketQuery::Dead(query), limit).await
    }

    /// Has a ticket that was given up tried again.
    pub async fn replay(&self, id: TicketId) -> Result<Ticket, Problem> {
        loop {
            let found = self.ticket(id).await?;
            let now = self.clock.now();
            let replayed = found.replay(now)?;
            let change = Change::new(found.merchant, now);
            match self.database.commit(change.ticket(replayed.clone(), found.version)).await {
                Ok(()) => return Ok(replayed),
                Err(CommitError::Backend(error)) => return Err(error.into()),
                // It moved meanwhile: it may have been replayed already.
                Err(_) => {}
            }
        }
    }

    /// Has up to `limit` tickets that were given up tried again; those that were.
    pub async fn replay_all(&self, query: DeadQuery, limit: u32) -> Result<Vec<TicketId>, Problem> {
        let mut replayed = vec![];
        for ticket in self.dead_tickets(query, limit).await? {
            match self.replay(ticket.id).await {
                Ok(ticket) => replayed.push(ticket.id),
                // Somebody else was faster.
                Err(problem) if problem.code == Code::InvalidState => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(replayed)
    }
}

impl LaneLoad {
    fn empty((lane, merchant): (Lane, Option<MerchantId>)) -> Self {
        Self { lane, merchant, ready: 0, delayed: 0, in_flight: 0, dead: 0, oldest_ready: None }
    }
}
