//! Tickets: units of work. Who holds one, since when, how often it failed, and what comes next.
//!
//! ```text
//!             claim                 complete
//!  Queued ───────────────▶ Leased ───────────────▶ Done
//!    ▲ ▲                     │  │
//!    │ │ fail (retry), release  │ fail (last attempt, or hopeless)
//!    │ └─────────────────────┘  └────────────────▶ Dead
//!    │           lease ran out: another claim takes it over, with the next attempt
//!    └──────────────────────────── replay, by a person ─┘
//! ```

use crate::Timestamp;
use crate::ids::{MerchantId, TicketId};
use crate::lane::{Class, Lane};
use crate::problem::{Code, Problem};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a ticket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// It waits for a worker.
    Queued,
    /// A worker holds it.
    Leased,
    /// Its effect is committed.
    Done,
    /// It was given up; a person must look.
    Dead,
}

impl TicketState {
    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            TicketState::Queued => "queued",
            TicketState::Leased => "leased",
            TicketState::Done => "done",
            TicketState::Dead => "dead",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, TicketState::Done | TicketState::Dead)
    }
}

/// Where an open ticket is on its way, more finely than its state: what is counted, and by what
/// the next ones are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It is queued, and waits for its time.
    Delayed,
    /// It is queued and due, and waits in the database for its turn.
    Waiting,
    /// It is queued, and was handed to the queue.
    Sent,
    /// A worker holds it.
    Leased,
    /// Its effect is committed.
    Done,
    /// It was given up.
    Dead,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 6] =
        [Stage::Delayed, Stage::Waiting, Stage::Sent, Stage::Leased, Stage::Done, Stage::Dead];

    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Delayed => "delayed",
            Stage::Waiting => "waiting",
            Stage::Sent => "sent",
            Stage::Leased => "leased",
            Stage::Done => "done",
            Stage::Dead => "dead",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// What proves that its bearer holds a ticket: which attempt, and that attempt's secret number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The ticket.
    pub ticket: TicketId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The number drawn when that attempt began.
    pub token: u64,
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// The id, derived from what it is about: the same work is never ticketed twice.
    pub id: TicketId,
    /// Whose work it is.
    pub merchant: MerchantId,
    /// Where it queues.
    pub lane: Lane,
    /// How urgent it is among those that queue there.
    #[serde(default)]
    pub class: Class,
    /// What is to be done, as `noun.verb`: `payment.charge`, `item.render`.
    pub kind: String,
    /// The ids that the work needs.
    pub payload: Value,
    /// Where it is in its life.
    pub state: TicketState,
    /// How many times it was claimed.
    pub attempt: u32,
    /// How many of those attempts failed. Releases and lost leases are not failures.
    pub failures: u32,
    /// The token of the present lease.
    pub token: Option<u64>,
    /// Who holds it.
    pub holder: Option<String>,
    /// Until when, unless extended.
    pub lease_until: Option<Timestamp>,
    /// Not before this.
    pub due_at: Timestamp,
    /// Whether it was not yet due when it was written, and nobody has found it due since.
    #[serde(default)]
    pub delayed: bool,
    /// When it was last handed to the queue; nothing when it must be (again).
    pub sent_at: Option<Timestamp>,
    /// How far the holder says it is, in thousandths.
    pub progress: u16,
    /// Why the last attempt failed.
    pub last_error: Option<Problem>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed state.
    pub updated_at: Timestamp,
    /// The W3C `traceparent` of what caused it.
    pub trace: Option<String>,
    /// Counts every change, from 1.
    pub version: u64,
}

/// How often and when a failed ticket is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures allowed, the last included.
    pub failures_max: u32,
    /// The wait after the first failure, before jitter.
    pub base: TimeDelta,
    /// The longest wait, before jitter.
    pub ceiling: TimeDelta,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            failures_max: 8,
            base: TimeDelta::milliseconds(500),
            ceiling: TimeDelta::seconds(300),
        }
    }
}

impl RetryPolicy {
    /// The wait after the `failures`-th failure: exponential, capped, then a random part of its
    /// upper half, `jitter` being uniform in 0..=1000 thousandths.
    pub fn backoff(&self, failures: u32, jitter: u16) -> TimeDelta {
        let doublings = failures.saturating_sub(1).min(20);
        let base_ms = self.base.num_milliseconds().max(1);
        let full_ms = base_ms.saturating_mul(1 << doublings).min(self.ceiling.num_milliseconds());
        let half_ms = full_ms / 2;
        TimeDelta::milliseconds(half_ms + half_ms * i64::from(jitter.min(1000)) / 1000)
    }
}

impl Ticket {
    /// A new ticket, due at once.
    pub fn new(
        id: TicketId,
        merchant: MerchantId,
        lane: Lane,
        kind: &str,
        payload: Value,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            merchant,
            lane,
            class: Class::default(),
            kind: kind.into(),
            payload,
            state: TicketState::Queued,
            attempt: 0,
            failures: 0,
            token: None,
            holder: None,
            lease_until: None,
            due_at: now,
            delayed: false,
            sent_at: None,
            progress: 0,
            last_error: None,
            created_at: now,
            updated_at: now,
            trace: None,
            version: 1,
        }
    }

    /// The same ticket, not before a time.
    pub fn due(mut self, at: Timestamp) -> Self {
        self.delayed = at > self.due_at;
        self.due_at = at;
        self
    }

    /// The same ticket, as urgent as that.
    pub fn of_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Where it is on its way.
    pub fn stage(&self) -> Stage {
        match self.state {
            TicketState::Queued if self.delayed => Stage::Delayed,
            TicketState::Queued if self.sent_at.is_none() => Stage::Waiting,
            TicketState::Queued => Stage::Sent,
            TicketState::Leased => Stage::Leased,
            TicketState::Done => Stage::Done,
            TicketState::Dead => Stage::Dead,
        }
    }

    /// What proves the present lease, if there is one.
    pub fn fence(&self) -> Option<Fence> {
        let token = self.token.filter(|_| self.state == TicketState::Leased)?;
        Some(Fence { ticket: self.id, attempt: self.attempt, token })
    }

    /// Whether a worker may take it now: it waits and is due, or its lease ran out.
    pub fn claimable(&self, now: Timestamp) -> bool {
        match self.state {
            TicketState::Queued => self.due_at <= now,
            TicketState::Leased => self.lease_until.is_none_or(|until| until <= now),
            TicketState::Done | TicketState::Dead => false,
        }
    }

    fn next(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    /// A worker takes it: the next attempt begins, and all earlier tokens are worth nothing.
    pub fn claim(
        &self,
        holder: &str,
        token: u64,
        lease: TimeDelta,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        if !self.claimable(now) {
            return Err(lost(&self.id));
        }
        let mut next = self.next(now);
        next.state = TicketState::Leased;
        next.delayed = false;
        next.attempt += 1;
        next.token = Some(token);
        next.holder = Some(holder.into());
        next.lease_until = Some(now + lease);
        next.progress = 0;
        Ok(next)
    }

    /// Checks a bearer's proof. A lease that ran out still holds as long as nobody else claimed
    /// the ticket: the work was done once, and its effect is welcome.
    pub fn check(&self, fence: &Fence) -> Result<(), Problem> {
        if self.fence().as_ref() == Some(fence) { Ok(()) } else { Err(lost(&self.id)) }
    }

    /// The holder is alive, and so far.
    pub fn extend(
        &self,
        fence: &Fence,
        lease: TimeDelta,
        progress: u16,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        self.check(fence)?;
        let mut next = self.next(now);
        next.lease_until = Some(now + lease);
        next.progress = progress.min(1000).max(self.progress);
        Ok(next)
    }

    /// The work is done; its effect commits with this.
    pub fn complete(&self, fence: &Fence, now: Timestamp) -> Result<Self, Problem> {
        self.check(fence)?;
        let mut next = self.settle(TicketState::Done, now);
        next.progress = 1000;
        Ok(next)
    }

    /// The holder hands it back unharmed; it is due at once and counts as no failure.
    pub fn release(&self, fence: &Fence, now: Timestamp) -> Result<Self, Problem> {
        self.check(fence)?;
        let mut next = self.settle(TicketState::Queued, now);
        next.due_at = now;
        next.delayed = false;
        next.sent_at = None;
        Ok(next)
    }

    /// The attempt failed: it is queued again after a pause, or dead when it is hopeless or was
    /// the last attempt allowed.
    pub fn fail(
        &self,
        fence: &Fence,
        problem: Problem,
        hopeless: bool,
        policy: &RetryPolicy,
        jitter: u16,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        self.check(fence)?;
        let failures = self.failures + 1;
        let state = if hopeless || failures >= policy.failures_max {
            TicketState::Dead
        } else {
            TicketState::Queued
        };
        let mut next = self.settle(state, now);
        next.failures = failures;
        next.last_error = Some(problem);
        if state == TicketState::Queued {
            next.due_at = now + policy.backoff(failures, jitter);
            next.delayed = next.due_at > now;
            next.sent_at = None;
        }
        Ok(next)
    }

    /// Its time has come: from now on it waits for its turn. Nothing for one that does not wait
    /// for its time.
    pub fn ripen(&self, now: Timestamp) -> Option<Self> {
        if self.stage() != Stage::Delayed || self.due_at > now {
            return None;
        }
        let mut next = self.next(now);
        next.updated_at = self.updated_at;
        next.delayed = false;
        Some(next)
    }

    /// The relay handed it to the queue.
    pub fn sent(&self, now: Timestamp) -> Self {
        let mut next = self.next(now);
        next.updated_at = self.updated_at;
        next.delayed = false;
        next.sent_at = Some(now);
        next
    }

    /// A person wants one that was given up to be tried again, as if it had never failed.
    pub fn replay(&self, now: Timestamp) -> Result<Self, Problem> {
        if self.state != TicketState::Dead {
            return Err(Problem::invalid_state(
                format!("{} was not given up: it is {}", self.id, self.state.name()),
                "replay only tickets that are dead",
            ));
        }
        let mut next = self.settle(TicketState::Queued, now);
        next.failures = 0;
        next.progress = 0;
        next.due_at = now;
        next.delayed = false;
        next.sent_at = None;
        Ok(next)
    }

    fn settle(&self, state: TicketState, now: Timestamp) -> Self {
        let mut next = self.next(now);
        next.state = state;
        next.token = None;
        next.holder = None;
        next.lease_until = None;
        next
    }
}

fn lost(id: &TicketId) -> Problem {
    Problem::new(
        Code::LeaseLost,
        format!("the lease on {id} is not held any more"),
        "stop the work and lease again; whoever holds the ticket now will finish it",
    )
}
