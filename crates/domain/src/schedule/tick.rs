//! What happens when a schedule's time comes, was missed, or is taken back by the clock.

use super::{MissedTicks, Recurrence, Schedule};
use crate::Timestamp;
use crate::aggregate::Decided;
use crate::ids::{Id, MerchantId, TicketId, derive};
use crate::problem::Problem;
use crate::ticket::Ticket;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};

/// A tick that is later than this was missed. Ticks are at least a minute apart, so at most one
/// is on time.
pub const ON_TIME: TimeDelta = TimeDelta::minutes(1);
/// How many missed ticks `all` makes up for; older ones are given up.
pub const MADE_UP_MAX: usize = 1_000;
/// How many of them in one commit.
pub const AT_ONCE_MAX: usize = 100;

impl Schedule {
    /// Whether a tick is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.paused && self.next_tick <= now
    }

    /// The ticket of a tick: the same tick has the same ticket.
    pub fn ticket_of(&self, tick: Timestamp) -> TicketId {
        derive(self.id.uuid(), &format!("tick {}", tick.timestamp()), 0)
    }

    /// Does what is due: makes the tickets of this tick and of missed ones, after the policy, and
    /// moves on. When nothing is due, nothing happens. After a long time it may be due again at
    /// once: no more than [`AT_ONCE_MAX`] tickets are made together.
    ///
    /// `made` names those of its tickets that exist. There are some when the clock was ahead, and
    /// was put back since; their ticks are done.
    pub fn tick(
        &self,
        now: Timestamp,
        made: &BTreeSet<TicketId>,
    ) -> Result<Decided<Self>, Problem> {
        if !self.is_due(now) {
            return Ok(Decided::quiet(self.clone()));
        }
        let recurrence = self.recurrence()?;
        let newest = self.newest_due(&recurrence, now);
        let late = |tick: &Timestamp| now - *tick >= ON_TIME;
        let mut ticks: Vec<Timestamp> = match self.missed {
            MissedTicks::Skip => newest.iter().copied().filter(|tick| !late(tick)).collect(),
            MissedTicks::Once | MissedTicks::All => newest.iter().copied().collect(),
        };
        let last_due = newest.back().copied().unwrap_or(self.next_tick);
        let resumes_at = ticks.first().copied().unwrap_or(last_due + TimeDelta::seconds(1));
        let mut next = self.clone();
        let mut told = vec![];
        if self.next_tick < resumes_at {
            next.undone_before = next.undone_before.max(resumes_at);
            next.planned_at = next.planned_at.max(now);
            told.push(("schedule.missed", json!({ "from": self.next_tick, "before": resumes_at })));
        }
        next.next_tick = match ticks.get(AT_ONCE_MAX) {
            Some(later) => *later,
            None => recurrence.next_after(last_due).ok_or_else(|| {
                Problem::invalid_state("there is no next tick", "check the clock of the node")
            })?,
        };
        ticks.truncate(AT_ONCE_MAX);
        let tickets = self.tickets(&ticks, made, now);
        next.last_tick = ticks.last().copied().or(self.last_tick);
        if !tickets.is_empty() {
            let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id).collect();
            told.push(("schedule.ticked", json!({ "until": next.last_tick, "tickets": ids })));
        }
        Ok(Decided { tickets, ..next.telling_all(told) })
    }

    /// The plan that the clock asks for, if it was ahead when the present plan was made: then
    /// ticks were taken for missed whose time is still to come. Nothing when the plan holds.
    ///
    /// No tick is done that came before the schedule began. Where that is said by a clock that was
    /// ahead by [`ON_TIME`] or more, it is not known, and nothing is done that came before now.
    pub fn rewind(&self, now: Timestamp) -> Result<Option<Decided<Self>>, Problem> {
        if self.paused || self.planned_at <= now {
            return Ok(None);
        }
        // What is not missed yet may have come before anybody noticed the clock.
        let since = now.checked_sub_signed(ON_TIME).unwrap_or(now);
        let since = if self.begins_at - now < ON_TIME { since.max(self.begins_at) } else { now };
        let first = self.recurrence()?.next_after(since);
        let undone = |tick: &Timestamp| *tick < self.undone_before && *tick < self.next_tick;
        Ok(first.filter(undone).map(|first| {
            let mut next = self.clone();
            next.plan(first, now);
            next.telling("schedule.rewound", json!({ "from": self.next_tick, "nextTick": first }))
        }))
    }

    fn tickets(
        &self,
        ticks: &[Timestamp],
        made: &BTreeSet<TicketId>,
        now: Timestamp,
    ) -> Vec<Ticket> {
        let before = std::iter::once(self.previous()).chain(ticks.iter().copied());
        let each = ticks
            .iter()
            .zip(before)
            .map(|(tick, previous)| self.ticket(self.ticket_of(*tick), *tick, previous, now));
        each.filter(|ticket| !made.contains(&ticket.id)).collect()
    }

    pub(super) fn ticket(
        &self,
        id: TicketId,
        tick: Timestamp,
        previous: Timestamp,
        now: Timestamp,
    ) -> Ticket {
        let mut payload = self.makes.payload.clone();
        payload.insert("schedule".into(), json!(self.id));
        payload.insert("tick".into(), json!(tick));
        payload.insert("previous".into(), json!(previous));
        let (lane, kind) = (self.makes.lane.clone(), &self.makes.kind);
        Ticket::new(id, MerchantId::PLATFORM, lane, kind, Value::Object(payload), now)
    }

    /// The newest ticks that are due, in order: as many as the policy can use. The work is bounded
    /// however long nobody looked: it begins with the last minutes, and looks twice as far back
    /// until it has found enough.
    fn newest_due(&self, recurrence: &Recurrence, now: Timestamp) -> VecDeque<Timestamp> {
        let wanted = if self.missed == MissedTicks::All { MADE_UP_MAX } else { 1 };
        let mut window = TimeDelta::minutes(wanted as i64);
        loop {
            let start = now.checked_sub_signed(window).unwrap_or(self.next_tick);
            let start = start.max(self.next_tick);
            let mut found = VecDeque::new();
            let mut tick = recurrence.next_from(start);
            while let Some(due) = tick.filter(|tick| *tick <= now) {
                if found.len() == wanted {
                    found.pop_front();
                }
                found.push_back(due);
                tick = recurrence.next_after(due);
            }
            if start == self.next_tick || found.len() == wanted {
                return found;
            }
            window = window.checked_mul(2).unwrap_or(TimeDelta::MAX);
        }
    }
}
