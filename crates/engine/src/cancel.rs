//! Cancelling: the handler of tickets that cancel others, and the operator's command.

use crate::handler::{Failure, Handler, Handlers, Work};
use async_trait::async_trait;
use printmill_backend::{Change, Clock, CommitError, Database};
use printmill_domain::Timestamp;
use printmill_domain::ids::TicketId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_end::CANCEL;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How often a cancellation is decided again because something changed before its commit.
const DECISIONS_MAX: u32 = 16;

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
        let change = cancellation(&self.handlers, work, &target, &why, now).await?;
        Ok(change.map_or_else(|| Change::new(work.ticket.merchant, now), |(change, _)| change))
    }
}

/// What to commit to cancel a ticket, and the ticket as it is then; nothing when it is over, or is
/// cancelled already.
async fn cancellation(
    handlers: &Handlers,
    work: &Work,
    target: &Ticket,
    why: &Problem,
    now: Timestamp,
) -> Result<Option<(Change, Ticket)>, Problem> {
    let Some(next) = target.cancel(why.clone(), now) else { return Ok(None) };
    let mut change = Change::new(target.merchant, now);
    if let (TicketState::Cancelled, Some(handler)) = (next.state, handlers.get(&target.kind)) {
        change = handler.give_up(&work.about(next.clone()), why, now).await?;
    }
    Ok(Some((change.ticket(next.clone(), target.version), next)))
}

/// Cancels a ticket for an operator. One that waits ends at once; of one that is leased, its holder
/// hears with the next heartbeat. One that was cancelled stays so; one that has ended otherwise
/// cannot be cancelled.
pub async fn cancel(
    database: &dyn Database,
    clock: &dyn Clock,
    handlers: &Handlers,
    id: TicketId,
    why: &Problem,
) -> Result<Ticket, Problem> {
    for _ in 0..DECISIONS_MAX {
        let found = database.tickets(&[id]).await?.into_iter().next();
        let target = found.ok_or_else(|| Problem::not_found("ticket", id))?;
        let work = Work::new(target.clone(), CancellationToken::new());
        let proposed = cancellation(handlers, &work, &target, why, clock.now()).await?;
        let Some((change, next)) = proposed else {
            if target.cancel.is_some() || target.state == TicketState::Cancelled {
                return Ok(target);
            }
            let message = format!("{id} is {}", target.state.name());
            let advice = "only what waits or runs can be cancelled: see `printmill tickets show`";
            return Err(Problem::invalid_state(message, advice));
        };
        match database.commit(change).await {
            Ok(()) => return Ok(next),
            Err(CommitError::Backend(error)) => return Err(error.into()),
            // It moved meanwhile, or what it is about did.
            Err(_) => {}
        }
    }
    Err(Problem::new(Code::Conflict, "the ticket changes all the time", "try again in a moment"))
}

/// The reason for a cancellation that gives none.
pub fn no_longer_wanted() -> Problem {
    Problem::new(
        Code::WorkCancelled,
        "the work was cancelled",
        "nothing needs to be done; what asked for it can ask again",
    )
}
