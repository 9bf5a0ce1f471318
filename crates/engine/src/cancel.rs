//! Cancelling: the handler of tickets that cancel others.

use crate::handler::{Failure, Handler, Handlers, Work};
use async_trait::async_trait;
use printmill_backend::{Change, Database};
use printmill_domain::Timestamp;
use printmill_domain::ids::TicketId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_end::CANCEL;
use serde_json::Value;
use std::sync::Arc;

/// Cancels tickets. One that is queued ends in the same commit, with what its own handler wants
/// people to see; of one that is leased, its holder hears with the next heartbeat.
pub struct CancelTicket {
    database: Arc<dyn Database>,
    handlers: Handlers,
}

impl CancelTicket {
    /// Cancels tickets of a database, whose kinds have these handlers.
    pub fn new(database: Arc<dyn Database>, handlers: Handlers) -> Self {
        Self { database, handlers }
    }

    async fn target(&self, work: &Work) -> Result<Ticket, Failure> {
        let id: TicketId = work.id("ticket")?;
        let found = self.database.tickets(&[id]).await?.into_iter().next();
        let own = found.filter(|ticket| ticket.merchant == work.ticket.merchant);
        own.ok_or_else(|| Failure::hopeless(Problem::not_found("ticket", id)))
    }
}

#[async_trait]
impl Handler for CancelTicket {
    fn kind(&self) -> &'static str {
        CANCEL
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let _ = performed;
        let target = self.target(work).await?;
        let why = serde_json::from_value(work.ticket.payload["why"].clone());
        let why = why.unwrap_or_else(|_| no_longer_wanted());
        let Some(next) = target.cancel(why.clone(), now) else {
            return Ok(Change::new(work.ticket.merchant, now));
        };
        let mut change = Change::new(work.ticket.merchant, now);
        if let (TicketState::Cancelled, Some(handler)) =
            (next.state, self.handlers.get(&target.kind))
        {
            change = handler.give_up(&work.about(next.clone()), &why, now).await?;
        }
        Ok(change.ticket(next, target.version))
    }
}

/// The reason for a cancellation that gives none.
pub fn no_longer_wanted() -> Problem {
    Problem::new(
        Code::WorkCancelled,
        "the work was cancelled",
        "nothing needs to be done; what asked for it can ask again",
    )
}
