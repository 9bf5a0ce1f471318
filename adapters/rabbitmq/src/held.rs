//! What this handle holds: deliveries whose lease runs, each with the task that ends it.

use crate::message::Stored;
use lapin::Acker;
use printmill_domain::lane::Lane;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A delivery.
pub(crate) struct Held {
    pub(crate) lane: Lane,
    pub(crate) stored: Stored,
    pub(crate) acker: Acker,
    /// How often this copy of the message went back to its queue before.
    pub(crate) returns: u32,
    /// Since when the server counts its own limit.
    pub(crate) since: Instant,
    /// Ends the lease when its time has come.
    pub(crate) end: Option<AbortHandle>,
}

impl Held {
    /// The number of this delivery, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.stored.attempts.saturating_add(self.returns).saturating_add(1)
    }
}

/// All of them, by number.
#[derive(Default)]
pub(crate) struct Holding(Mutex<Numbered>);

#[derive(Default)]
struct Numbered {
    last: u64,
    held: HashMap<u64, Held>,
}

/// What an extension comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// The lease may run on.
    Granted,
    /// The server would take the message away before.
    TooLong,
    /// It is not held.
    Lost,
}

impl Holding {
    /// Takes a delivery in; its number.
    pub(crate) fn add(&self, held: Held) -> u64 {
        let mut numbered = self.locked();
        numbered.last += 1;
        let number = numbered.last;
        numbered.held.insert(number, held);
        number
    }

    /// Gives a delivery out: its lease is over, whoever asks first.
    pub(crate) fn remove(&self, number: u64) -> Option<Held> {
        let held = self.locked().held.remove(&number)?;
        if let Some(end) = &held.end {
            end.abort();
        }
        Some(held)
    }

    /// Sets what ends a lease, instead of what would have.
    pub(crate) fn set_end(&self, number: u64, end: AbortHandle) {
        match self.locked().held.get_mut(&number) {
            Some(held) => {
                if let Some(before) = held.end.replace(end) {
                    before.abort();
                }
            }
            None => end.abort(),
        }
    }

    /// Whether a lease may go on for so long from now.
    pub(crate) fn may_extend(&self, number: u64, ttl: Duration, longest: Duration) -> Extension {
        match self.locked().held.get(&number) {
            Some(held) if held.since + longest < Instant::now() + ttl => Extension::TooLong,
            Some(held) if held.acker.usable() => Extension::Granted,
            _ => Extension::Lost,
        }
    }

    /// How many of a lane are held.
    pub(crate) fn count(&self, lane: &Lane) -> usize {
        let numbered = self.locked();
        numbered.held.values().filter(|held| held.lane == *lane && held.acker.usable()).count()
    }

    fn locked(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
