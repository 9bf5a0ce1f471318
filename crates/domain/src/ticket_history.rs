//! The history of a ticket: who held it, since when, and what came of it. The last attempts are
//! kept in the ticket itself.

use crate::Timestamp;
use crate::problem::Problem;
use crate::ticket::Ticket;
use serde::{Deserialize, Serialize};

/// How many attempts a ticket remembers; the oldest are forgotten first.
pub const ATTEMPTS_KEPT: usize = 16;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Its effect is committed.
    Done,
    /// It failed.
    Failed,
    /// It was handed back unharmed.
    Released,
    /// Its holder fell silent, and the lease ran out.
    Lost,
    /// It was broken off, since the work was not wanted any more.
    Cancelled,
}

impl AttemptEnd {
    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            AttemptEnd::Done => "done",
            AttemptEnd::Failed => "failed",
            AttemptEnd::Released => "released",
            AttemptEnd::Lost => "lost",
            AttemptEnd::Cancelled => "cancelled",
        }
    }
}

/// One attempt at a ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u32,
    /// Who held the ticket.
    pub holder: String,
    /// When it was claimed.
    pub began_at: Timestamp,
    /// When it was settled, or when its lease ran out; nothing while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What came of it; nothing while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<AttemptEnd>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Ticket {
    /// Begins an attempt in the history.
    pub(crate) fn remember_claim(&mut self, holder: &str, now: Timestamp) {
        let attempt = Attempt {
            attempt: self.attempt,
            holder: holder.into(),
            began_at: now,
            ended_at: None,
            end: None,
            problem: None,
        };
        self.history.push(attempt);
        let forgotten = self.history.len().saturating_sub(ATTEMPTS_KEPT);
        self.history.drain(..forgotten);
    }

    /// Ends the attempt under way in the history.
    pub(crate) fn remember_end(
        &mut self,
        end: AttemptEnd,
        problem: Option<Problem>,
        at: Timestamp,
    ) {
        if let Some(attempt) = self.history.last_mut().filter(|attempt| attempt.end.is_none()) {
            attempt.end = Some(end);
            attempt.ended_at = Some(at);
            attempt.problem = problem;
        }
    }
}
