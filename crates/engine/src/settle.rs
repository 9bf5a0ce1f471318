//! Settling: what becomes of a ticket when its work is done, failed or not wanted any more; the
//! same for workers in this process and outside.

use crate::handler::{Failure, Handler, Handlers, Work};
use crate::lease::{Leased, Leases};
use futures::FutureExt;
use printmill_backend::queue::Receipt;
use printmill_backend::{Change, CommitError};
use printmill_domain::Timestamp;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_end::overdue;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// How often a decision is taken again because something changed before its commit.
const DECISIONS_MAX: u32 = 16;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Done,
    /// It failed, and another attempt follows.
    Retried,
    /// It failed, and the ticket is given up.
    Dead,
    /// It was not wanted any more.
    Cancelled,
    /// It was handed back unharmed.
    Released,
    /// Somebody else holds the ticket, or will when the lease runs out.
    Lost,
}

impl Outcome {
    /// The name in logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Retried => "retried",
            Outcome::Dead => "dead",
            Outcome::Cancelled => "cancelled",
            Outcome::Released => "released",
            Outcome::Lost => "lost",
        }
    }
}

/// Ends attempts, by the rules of their handlers.
#[derive(Clone)]
pub struct Settling {
    leases: Leases,
    handlers: Handlers,
}

impl Settling {
    /// Settles leases by the rules of handlers.
    pub fn new(leases: Leases, handlers: Handlers) -> Self {
        Self { leases, handlers }
    }

    /// The handlers.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// How a kind is tried again.
    pub fn policy(&self, kind: &str) -> RetryPolicy {
        self.handlers.get(kind).map(|handler| handler.retry()).unwrap_or_default()
    }

    /// Decides and commits the effect of what was performed together with the end of the ticket,
    /// then acknowledges its message. Kinds without a handler keep what was performed as their
    /// result. What is committed after the deadline fails.
    pub async fn complete(
        &self,
        work: &Work,
        leased: &Leased,
        performed: &Value,
    ) -> Result<Outcome, Failure> {
        let outcome = self.commit(work, leased, performed).await?;
        self.acknowledge(&leased.receipt, outcome).await;
        Ok(outcome)
    }

    /// Acknowledges the message of what was committed, which nobody need wait for.
    pub(crate) async fn acknowledge(&self, receipt: &Receipt, outcome: Outcome) {
        if outcome == Outcome::Done {
            self.leases.acknowledge(receipt).await;
        }
    }

    /// As `complete`, without the acknowledgement.
    pub(crate) async fn commit(
        &self,
        work: &Work,
        leased: &Leased,
        performed: &Value,
    ) -> Result<Outcome, Failure> {
        let Leased { ticket, fence, .. } = leased;
        for _ in 0..DECISIONS_MAX {
            let now = self.leases.now();
            if ticket.deadline.is_some_and(|deadline| deadline <= now) {
                return Err(Failure::hopeless(overdue(&ticket.id)));
            }
            let handler = self.handlers.get(&ticket.kind);
            let effect = match handler {
                Some(handler) => decided(handler, work, performed, now).await?,
                None => Change::new(ticket.merchant, now),
            };
            let Ok(mut done) = ticket.complete(fence, effect.at) else { return Ok(Outcome::Lost) };
            if handler.is_none() {
                done.result = Some(performed.clone());
            }
            let change = effect.traced(ticket.trace.clone()).held(done, fence);
            match self.leases.database().commit(change).await {
                Ok(()) => return Ok(Outcome::Done),
                Err(CommitError::FenceLost { id }) if id == ticket.id.to_string() => {
                    return Ok(Outcome::Lost);
                }
                // Something, or another ticket, changed since it was read.
                Err(CommitError::Stale { .. } | CommitError::FenceLost { .. }) => {}
                Err(CommitError::Answered(_)) => return Ok(Outcome::Lost),
                Err(CommitError::Backend(error)) => return Err(error.into()),
            }
        }
        Err(Failure::passing(Problem::new(
            Code::Conflict,
            "what it works on is being changed by others all the time",
            "nothing needs to be done; it is tried again",
        )))
    }

    /// Commits a failed attempt, and when that is the end of the ticket also what people are to
    /// see of it. A ticket that is not wanted any more is cancelled instead.
    pub async fn fail(&self, work: &Work, leased: &Leased, failure: Failure) -> Outcome {
        let Leased { fence, receipt, .. } = leased;
        let Failure { problem, hopeless } = failure;
        let jitter = printmill_backend::fresh::jitter();
        let mut ticket = leased.ticket.clone();
        let policy = self.policy(&ticket.kind);
        if ticket.cancel.is_none() {
            tracing::warn!(%problem, code = %problem.code, hopeless, "attempt failed");
        }
        for _ in 0..DECISIONS_MAX {
            let now = self.leases.now();
            let next = ticket.fail(fence, problem.clone(), hopeless, &policy, jitter, now);
            let Ok(next) = next else { return Outcome::Lost };
            let Some(aftermath) = self.aftermath(work, &next, now).await else {
                return Outcome::Lost;
            };
            let outcome = match next.state {
                TicketState::Dead => Outcome::Dead,
                TicketState::Cancelled => Outcome::Cancelled,
                _ => Outcome::Retried,
            };
            let change = aftermath.traced(ticket.trace.clone()).ticket(next, ticket.version);
            match self.leases.settle(change, receipt).await {
                Ok(()) => return outcome,
                Err(CommitError::Stale { .. }) => {}
                // Often it is only a mark or a wish that was set on the ticket meanwhile.
                Err(CommitError::FenceLost { .. }) => match self.leases.held(fence).await {
                    Ok(current) => ticket = current,
                    Err(_) => return Outcome::Lost,
                },
                Err(error) => {
                    // The lease runs out and another attempt follows.
                    tracing::warn!(%error, "failure could not be recorded");
                    return Outcome::Lost;
                }
            }
        }
        Outcome::Lost
    }

    /// What to commit beside the end of a ticket; nothing when that cannot be found out now.
    async fn aftermath(&self, work: &Work, next: &Ticket, now: Timestamp) -> Option<Change> {
        let nothing = Change::new(next.merchant, now);
        let problem = match next.state {
            TicketState::Dead => next.last_error.as_ref(),
            TicketState::Cancelled => next.cancel.as_ref(),
            _ => None,
        };
        let handler = self.handlers.get(&next.kind);
        let (Some(problem), Some(handler)) = (problem, handler) else { return Some(nothing) };
        let giving_up = AssertUnwindSafe(handler.give_up(work, problem, now));
        match giving_up.catch_unwind().await.unwrap_or_else(|_| Err(broken_off())) {
            Ok(aftermath) => Some(aftermath),
            // The lease runs out and another attempt follows.
            Err(problem) if problem.code.retryable() => None,
            Err(refusal) => {
                tracing::error!(%refusal, "given up, and nobody could be told");
                Some(nothing)
            }
        }
    }
}

async fn decided(
    handler: &Arc<dyn Handler>,
    work: &Work,
    performed: &Value,
    now: Timestamp,
) -> Result<Change, Failure> {
    let deciding = AssertUnwindSafe(handler.decide(work, performed, now));
    deciding.catch_unwind().await.unwrap_or_else(|_| Err(broken_off().into()))
}

/// What a handler's panic is to those who look at its ticket.
pub(crate) fn broken_off() -> Problem {
    tracing::error!("handler panicked");
    Problem::new(
        Code::Internal,
        "the work broke off by a fault of the program",
        "report this with the ticket's id; it is tried again a few times",
    )
}
