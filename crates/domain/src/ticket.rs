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
//!
//!  Queued ── cancel ──▶ Cancelled ◀── the holder hears of it ── Leased
//! ```

use crate::Timestamp;
use crate::ids::{MerchantId, TicketId};
use crate::lane::{Class, Lane};
use crate::problem::{Code, Problem};
pub use crate::retry::RetryPolicy;
use crate::ticket_history::{Attempt, AttemptEnd};
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
    /// It was not wanted any more.
    Cancelled,
}

/// The most characters that a holder may say of its progress.
pub const MESSAGE_MAX: usize = 200;

impl TicketState {
    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            TicketState::Queued => "queued",
            TicketState::Leased => "leased",
            TicketState::Done => "done",
            TicketState::Dead => "dead",
            TicketState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, TicketState::Done | TicketState::Dead | TicketState::Cancelled)
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
    /// It was not wanted any more.
    Cancelled,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 7] = [
        Stage::Delayed,
        Stage::Waiting,
        Stage::Sent,
        Stage::Leased,
        Stage::Done,
        Stage::Dead,
        Stage::Cancelled,
    ];

    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Delayed => "delayed",
            Stage::Waiting => "waiting",
            Stage::Sent => "sent",
            Stage::Leased => "leased",
            Stage::Done => "done",
            Stage::Dead => "dead",
            Stage::Cancelled => "cancelled",
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
    /// How many of those attempts failed. Releases, lost leases and attempts that found something
    /// away are not failures.
    pub failures: u32,
    /// How many of those attempts ended because their holder fell silent.
    #[serde(default)]
    pub lost_leases: u32,
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
    /// What the holder says it is doing, at most [`MESSAGE_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why the last attempt failed.
    pub last_error: Option<Problem>,
    /// Why it is not wanted any more. While it is leased, its holder still has to hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Problem>,
    /// Work after this time is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What a worker outside answered, for kinds that have no handler of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The last attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Attempt>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed state.
    pub updated_at: Timestamp,
    /// The W3C `traceparent` of what caused it.
    pub trace: Option<String>,
    /// Counts every change, from 1.
    pub version: u64,
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
            lost_leases: 0,
            token: None,
            holder: None,
            lease_until: None,
            due_at: now,
            delayed: false,
            sent_at: None,
            progress: 0,
            message: String::new(),
            last_error: None,
            cancel: None,
            deadline: None,
            result: None,
            history: vec![],
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
            TicketState::Cancelled => Stage::Cancelled,
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
            TicketState::Done | TicketState::Dead | TicketState::Cancelled => false,
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Self {
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
        if self.state == TicketState::Leased {
            next.lost_leases += 1;
            next.remember_end(AttemptEnd::Lost, None, self.lease_until.unwrap_or(now));
        }
        next.state = TicketState::Leased;
        next.delayed = false;
        next.attempt += 1;
        next.remember_claim(holder, now);
        next.token = Some(token);
        next.holder = Some(holder.into());
        next.lease_until = Some(now + lease);
        next.progress = 0;
        next.message.clear();
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

    /// The same ticket with what its holder says it is doing, shortened if need be.
    pub fn saying(mut self, message: &str) -> Self {
        let readable = message.chars().filter(|letter| !letter.is_control());
        self.message = readable.take(MESSAGE_MAX).collect();
        self
    }

    /// The work is done; its effect commits with this.
    pub fn complete(&self, fence: &Fence, now: Timestamp) -> Result<Self, Problem> {
        self.check(fence)?;
        let mut next = self.settle(TicketState::Done, AttemptEnd::Done, None, now);
        next.progress = 1000;
        Ok(next)
    }

    /// The holder hands it back unharmed; it is due at once and counts as no failure.
    pub fn release(&self, fence: &Fence, now: Timestamp) -> Result<Self, Problem> {
        self.postpone(fence, now, now)
    }

    /// The holder hands it back unharmed, to be taken on again from a time on.
    pub fn postpone(
        &self,
        fence: &Fence,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        self.check(fence)?;
        if let Some(why) = &self.cancel {
            return Ok(self.broken_off(why.clone(), now));
        }
        let mut next = self.settle(TicketState::Queued, AttemptEnd::Released, None, now);
        next.due_at = due_at.max(now);
        next.delayed = next.due_at > now;
        next.sent_at = None;
        Ok(next)
    }

    /// The attempt failed: it is queued again after a pause, or dead when it is hopeless, was the
    /// last attempt allowed, or could only be tried again after its deadline. An attempt that found
    /// something away is none of those allowed (see [`crate::retry`]). One that is not wanted any
    /// more is cancelled instead.
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
        if let Some(why) = &self.cancel {
            return Ok(self.broken_off(why.clone(), now));
        }
        let waits = !hopeless && self.only_waits(policy, problem.code, now);
        let failures = self.failures + u32::from(!waits);
        let due_at = now
            + match waits {
                true => self.outage_wait(policy, jitter),
                false => policy.backoff(failures, jitter),
            };
        let too_late = self.deadline.is_some_and(|deadline| deadline <= due_at);
        let spent = !waits && failures >= policy.failures_max;
        let state =
            if hopeless || too_late || spent { TicketState::Dead } else { TicketState::Queued };
        let mut next = self.settle(state, AttemptEnd::Failed, Some(problem.clone()), now);
        next.failures = failures;
        next.last_error = Some(problem);
        if state == TicketState::Queued {
            next.due_at = due_at;
            next.delayed = due_at > now;
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
        let mut next = self.settle(TicketState::Queued, AttemptEnd::Released, None, now);
        next.failures = 0;
        next.lost_leases = 0;
        next.deadline = self.deadline.filter(|deadline| *deadline > now);
        next.progress = 0;
        next.due_at = now;
        next.delayed = false;
        next.sent_at = None;
        Ok(next)
    }

    pub(crate) fn settle(
        &self,
        state: TicketState,
        end: AttemptEnd,
        problem: Option<Problem>,
        now: Timestamp,
    ) -> Self {
        let mut next = self.next(now);
        next.remember_end(end, problem, now);
        next.state = state;
        next.delayed = false;
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
