//! Leases: taking tickets on, keeping them, and settling them; for workers inside and outside.

use printmill_backend::queue::{Delivery, Queue, Receipt, SettleError};
use printmill_backend::{BackendError, Change, Clock, CommitError, Database};
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::{Fence, Ticket, TicketState};
use printmill_domain::ticket_history::AttemptEnd;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a claim is tried again because the ticket changed under it.
const CLAIMS_MAX: u32 = 4;

/// A ticket that was taken on, and what settles its message.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// The ticket as it was claimed.
    pub ticket: Ticket,
    /// What proves the lease.
    pub fence: Fence,
    /// The queue's message.
    pub receipt: Receipt,
}

/// Takes tickets on from a queue and settles them in a database.
#[derive(Clone)]
pub struct Leases {
    database: Arc<dyn Database>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

impl Leases {
    /// Leases that last `ttl` unless extended.
    pub fn new(
        database: Arc<dyn Database>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        ttl: Duration,
    ) -> Self {
        Self { database, queue, clock, ttl }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn database(&self) -> &Arc<dyn Database> {
        &self.database
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// How long a lease lasts unless extended.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Up to `count` messages of a lane, waiting up to `wait` for the first. This part of a lease
    /// may be broken off; what was delivered should be taken on.
    pub async fn deliveries(
        &self,
        lane: &Lane,
        count: u16,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        self.queue.lease(lane, count, self.ttl, wait).await
    }

    /// Gives messages that are not taken on after all to whoever asks next.
    pub async fn decline(&self, deliveries: Vec<Delivery>) {
        let receipts = deliveries.iter().map(|delivery| self.hand_on(&delivery.receipt));
        futures::future::join_all(receipts).await;
    }

    /// Claims the tickets of messages. Messages that come to nothing are settled or handed back,
    /// also when the database fails; it is an error only when nothing was claimed for that.
    pub async fn take_on(
        &self,
        deliveries: Vec<Delivery>,
        holder: &str,
    ) -> Result<Vec<Leased>, BackendError> {
        if deliveries.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.ticket).collect();
        let tickets = match self.database.tickets(&ids).await {
            Ok(tickets) => tickets,
            Err(error) => {
                let receipts = deliveries.iter().map(|delivery| self.hand_on(&delivery.receipt));
                futures::future::join_all(receipts).await;
                return Err(error);
            }
        };
        let tickets: HashMap<_, _> = tickets.into_iter().map(|t| (t.id, t)).collect();
        let claims = deliveries
            .into_iter()
            .map(|delivery| self.claim(tickets.get(&delivery.ticket), delivery, holder));
        let (mut leased, mut failed) = (vec![], None);
        for claim in futures::future::join_all(claims).await {
            match claim {
                Ok(claimed) => leased.extend(claimed),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if leased.is_empty() => Err(error),
            _ => Ok(leased),
        }
    }

    async fn claim(
        &self,
        ticket: Option<&Ticket>,
        delivery: Delivery,
        holder: &str,
    ) -> Result<Option<Leased>, BackendError> {
        let mut current = ticket.cloned();
        for _ in 0..CLAIMS_MAX {
            let now = self.clock.now();
            let Some(ticket) = current.filter(|ticket| !ticket.state.is_final()) else {
                self.acknowledge(&delivery.receipt).await;
                return Ok(None);
            };
            let token = printmill_backend::fresh::token();
            let claimed = ticket.claim(holder, token, chrono_ttl(self.ttl), now).ok();
            let claimed = claimed.and_then(|claimed| claimed.fence().map(|fence| (claimed, fence)));
            let Some((claimed, fence)) = claimed else {
                self.put_back(&ticket, &delivery.receipt, now).await;
                return Ok(None);
            };
            let change = Change::new(ticket.merchant, now).ticket(claimed.clone(), ticket.version);
            match self.database.commit(change).await {
                Ok(()) => {
                    return Ok(Some(Leased { ticket: claimed, fence, receipt: delivery.receipt }));
                }
                // Often it is only the relay, which marks the ticket as sent just now.
                Err(CommitError::FenceLost { .. }) => {
                    let read = self.database.tickets(&[ticket.id]).await;
                    match read {
                        Ok(read) => current = read.into_iter().next(),
                        Err(error) => return self.not_claimed(&delivery, error).await,
                    }
                }
                Err(CommitError::Backend(error)) => {
                    return self.not_claimed(&delivery, error).await;
                }
                Err(CommitError::Stale { .. } | CommitError::Answered(_)) => break,
            }
        }
        self.hand_on(&delivery.receipt).await;
        Ok(None)
    }

    /// The database failed: the message must not be lost.
    async fn not_claimed(
        &self,
        delivery: &Delivery,
        error: BackendError,
    ) -> Result<Option<Leased>, BackendError> {
        tracing::debug!(ticket = %delivery.ticket, error = %error.chain(), "claim failed");
        self.hand_on(&delivery.receipt).await;
        Err(error)
    }

    /// Gives a message to whoever asks next.
    async fn hand_on(&self, receipt: &Receipt) {
        let _ = self.queue.release(receipt, Duration::from_millis(50)).await;
    }

    /// A ticket that waits for its time will be sent again by the relay; one that another worker
    /// holds must come back when that lease ends.
    async fn put_back(&self, ticket: &Ticket, receipt: &Receipt, now: Timestamp) {
        match (ticket.state, ticket.lease_until) {
            (TicketState::Leased, Some(until)) => {
                let left = (until - now).to_std().unwrap_or(Duration::ZERO);
                let delay = (left + Duration::from_millis(20)).min(self.queue.caps().delay_max);
                let _ = self.queue.release(receipt, delay).await;
            }
            _ if ticket.sent_at.is_none() => self.acknowledge(receipt).await,
            _ => {
                let left = (ticket.due_at - now).to_std().unwrap_or(Duration::ZERO);
                let delay = left.min(self.queue.caps().delay_max);
                let _ = self.queue.release(receipt, delay).await;
            }
        }
    }

    /// Extends a lease at both ends, and records the progress and, unless it is empty, what the
    /// holder says it is doing. Gives the ticket as it is now: also with `cancel`, if it is not
    /// wanted any more.
    pub async fn extend(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        receipt: &Receipt,
        progress: u16,
        message: &str,
    ) -> Result<Ticket, Problem> {
        let extended = self.step(ticket, fence, |ticket, now| {
            let next = ticket.extend(fence, chrono_ttl(self.ttl), progress, now)?;
            Ok(if message.is_empty() { next } else { next.saying(message) })
        });
        let next = extended.await?;
        // The database decides who holds the ticket. A message that the queue delivers again is
        // put back by whoever gets it.
        if let Err(SettleError::Backend(error)) = self.queue.extend(receipt, self.ttl).await {
            tracing::warn!(ticket = %ticket.id, %error, "queue did not extend the lease");
        }
        Ok(next)
    }

    /// Moves a held ticket on from how it is stored, which may be further than its holder knows.
    async fn step(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        decide: impl Fn(&Ticket, Timestamp) -> Result<Ticket, Problem>,
    ) -> Result<Ticket, Problem> {
        let mut current = ticket.clone();
        for _ in 0..CLAIMS_MAX {
            let now = self.clock.now();
            let next = decide(&current, now)?;
            let change = Change::new(next.merchant, now).ticket(next.clone(), current.version);
            match self.database.commit(change).await {
                Ok(()) => return Ok(next),
                Err(CommitError::FenceLost { .. }) => current = self.held(fence).await?,
                Err(CommitError::Backend(error)) => return Err(error.into()),
                Err(CommitError::Stale { .. } | CommitError::Answered(_)) => break,
            }
        }
        Err(Problem::new(Code::Conflict, "the ticket changed meanwhile", "try again in a moment"))
    }

    /// Commits an effect together with the end of its ticket, then acknowledges the message.
    pub async fn complete(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        receipt: &Receipt,
        effect: Change,
    ) -> Result<(), CommitError> {
        let done = ticket.complete(fence, effect.at).map_err(|_| lost(ticket))?;
        let change = effect.traced(ticket.trace.clone()).held(done, fence);
        self.database.commit(change).await?;
        self.acknowledge(receipt).await;
        Ok(())
    }

    /// What a failed attempt makes of a ticket; nothing is committed.
    pub fn after_failure(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        problem: Problem,
        hopeless: bool,
        policy: &RetryPolicy,
    ) -> Result<Ticket, Problem> {
        let jitter = printmill_backend::fresh::jitter();
        ticket.fail(fence, problem, hopeless, policy, jitter, self.clock.now())
    }

    /// Commits what a holder decided, then acknowledges the message.
    pub async fn settle(&self, change: Change, receipt: &Receipt) -> Result<(), CommitError> {
        self.database.commit(change).await?;
        self.acknowledge(receipt).await;
        Ok(())
    }

    /// Hands a ticket back unharmed, due at once.
    pub async fn release(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        receipt: &Receipt,
    ) -> Result<(), Problem> {
        self.postpone(ticket, fence, receipt, Duration::ZERO).await
    }

    /// Hands a ticket back unharmed, to be taken on again after a pause.
    pub async fn postpone(
        &self,
        ticket: &Ticket,
        fence: &Fence,
        receipt: &Receipt,
        pause: Duration,
    ) -> Result<(), Problem> {
        let pause = chrono_ttl(pause);
        // The relay sends it again as soon as that is committed. A queue that still had this message
        // might take that one for a repetition, leave it out, and then lose this one. If nothing is
        // committed after this, the lease runs out, and the reconciler misses the message.
        self.acknowledge(receipt).await;
        self.step(ticket, fence, |ticket, now| ticket.postpone(fence, now + pause, now)).await?;
        Ok(())
    }

    /// The present ticket of a fence, for holders outside who keep only the proof.
    pub async fn held(&self, fence: &Fence) -> Result<Ticket, Problem> {
        let found = self.database.tickets(&[fence.ticket]).await?;
        let ticket = found.into_iter().next();
        let ticket = ticket.ok_or_else(|| Problem::not_found("ticket", fence.ticket))?;
        ticket.check(fence)?;
        Ok(ticket)
    }

    /// Whether the attempt of a fence ended with its effect committed.
    pub async fn was_done(&self, fence: &Fence) -> Result<bool, Problem> {
        let found = self.database.tickets(&[fence.ticket]).await?;
        let last = found.first().and_then(|ticket| ticket.history.last());
        Ok(last.is_some_and(|last| {
            last.attempt == fence.attempt && last.end == Some(AttemptEnd::Done)
        }))
    }

    /// Takes the message of a settled ticket out of the queue.
    pub(crate) async fn acknowledge(&self, receipt: &Receipt) {
        // A message that cannot be acknowledged is delivered again, and then found to be settled.
        if let Err(error) = self.queue.ack(receipt).await {
            tracing::debug!(lane = %receipt.lane, %error, "message was not acknowledged");
        }
    }
}

fn lost(ticket: &Ticket) -> CommitError {
    CommitError::FenceLost { id: ticket.id.to_string() }
}

fn chrono_ttl(ttl: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(ttl).unwrap_or(chrono::TimeDelta::MAX)
}
