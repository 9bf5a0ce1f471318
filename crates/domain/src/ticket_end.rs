//! When a ticket is not to be worked on any more: cancelled, past its deadline, or suspected of
//! taking its workers down.

use crate::Timestamp;
use crate::ids::{Id, MerchantId, TicketId, derive};
use crate::lane::Lane;
use crate::problem::{Code, Problem};
use crate::retry::RetryPolicy;
use crate::ticket::{Fence, Ticket, TicketState};
use crate::ticket_history::AttemptEnd;

/// From so many lost leases on a ticket is suspected of taking its worker down.
pub const SUSPECT_LOSSES: u32 = 2;
/// The kind of ticket that cancels another.
pub const CANCEL: &str = "ticket.cancel";

/// What may be done with a ticket that was just claimed.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Work on it.
    Work,
    /// Work on it while no other suspect is in work in the same process: it lost its lease so
    /// often that it may be what takes workers down.
    WorkAlone,
    /// Do not begin: it is not wanted any more.
    Cancel(Problem),
    /// Do not begin: it is to be given up.
    GiveUp(Problem),
}

impl Ticket {
    /// The same ticket with a time after which its work is worth nothing.
    pub fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// A new ticket that cancels another of the same merchant.
    pub fn cancelling(
        target: TicketId,
        merchant: MerchantId,
        why: &Problem,
        now: Timestamp,
    ) -> Self {
        let payload = serde_json::json!({ "ticket": target, "why": why });
        let id = derive(target.uuid(), CANCEL, 0);
        Self::new(id, merchant, Lane::express(), CANCEL, payload, now)
    }

    /// What may be done with it now that it is claimed.
    pub fn admission(&self, policy: &RetryPolicy, now: Timestamp) -> Admission {
        if let Some(why) = &self.cancel {
            return Admission::Cancel(why.clone());
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Admission::GiveUp(overdue(&self.id));
        }
        if self.lost_leases >= policy.losses_max {
            return Admission::GiveUp(Problem::new(
                Code::WorkerLost,
                format!("its worker vanished {} times while working on it", self.lost_leases),
                "look for what takes the worker down, as memory or a fault of a codec; then have \
                 it tried again",
            ));
        }
        if self.lost_leases >= SUSPECT_LOSSES { Admission::WorkAlone } else { Admission::Work }
    }

    /// It is not wanted any more. One that nobody works on ends at once; of one that is leased
    /// the holder hears with its next heartbeat, and ends it. Nothing changes when it has ended
    /// or was cancelled before.
    pub fn cancel(&self, why: Problem, now: Timestamp) -> Option<Self> {
        if self.state.is_final() || self.cancel.is_some() {
            return None;
        }
        let abandoned = self.state == TicketState::Leased && self.claimable(now);
        if self.state == TicketState::Leased && !abandoned {
            let mut next = self.next(now);
            next.cancel = Some(why);
            return Some(next);
        }
        let mut next = self.clone();
        if abandoned {
            next.lost_leases += 1;
            next.remember_end(AttemptEnd::Lost, None, self.lease_until.unwrap_or(now));
        }
        Some(next.broken_off(why, now))
    }

    /// The holder ends it, since it is not wanted any more.
    pub fn cancelled(&self, fence: &Fence, now: Timestamp) -> Result<Self, Problem> {
        self.check(fence)?;
        let why = self.cancel.clone().ok_or_else(|| {
            let message = format!("nobody asked for {} to be cancelled", self.id);
            Problem::invalid_state(message, "release it, or say that it failed")
        })?;
        Ok(self.broken_off(why, now))
    }

    pub(crate) fn broken_off(&self, why: Problem, now: Timestamp) -> Self {
        let mut next =
            self.settle(TicketState::Cancelled, AttemptEnd::Cancelled, Some(why.clone()), now);
        next.cancel = Some(why);
        next
    }
}

/// The refusal of work on a ticket after its deadline.
pub fn overdue(id: &TicketId) -> Problem {
    Problem::new(
        Code::WorkOverdue,
        format!("{id} was not done before its deadline"),
        "see whether it is still wanted; what asked for it can ask again",
    )
}
