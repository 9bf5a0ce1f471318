//! Scaling from outside: somebody else starts and stops the workers, such as Kubernetes, and only
//! asks how many there should be.

use super::{Memory, Observation, Policy, ServiceTime, Workers};
use crate::Timestamp;
use std::time::Duration;

/// What there is to see of a lane by one who does not see its workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backlog {
    /// When.
    pub now: Timestamp,
    /// Tickets that are due and held by nobody.
    pub ready: u64,
    /// Tickets that are held.
    pub in_flight: u64,
    /// How long the oldest of those that are ready has been due.
    pub oldest_age: Duration,
    /// How long those that are ready take.
    pub service: ServiceTime,
}

/// How many workers there should be, and what must be remembered to say it again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replicas {
    memory: Memory,
    wanted: u32,
}

impl Replicas {
    /// How many workers there should be.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }
}

impl Policy {
    /// How many workers there should be, where nobody says how many there are.
    ///
    /// Those that were wanted last are taken to be there or to come. As many work as it takes to
    /// hold what is held. The others boot as long as tickets are ready, since an idle worker would
    /// have taken one; and are idle when none is.
    pub fn replicas(&self, before: Replicas, seen: &Backlog) -> Replicas {
        let busy = seen.in_flight.div_ceil(self.concurrency());
        let busy = u32::try_from(busy).unwrap_or(u32::MAX).min(self.workers_max);
        let others = before.wanted.saturating_sub(busy);
        let (idle, booting) = if seen.ready > 0 { (0, others) } else { (others, 0) };
        let seen = Observation {
            now: seen.now,
            ready: seen.ready,
            in_flight: seen.in_flight,
            oldest_age: seen.oldest_age,
            held: vec![],
            service: seen.service,
            workers: Workers { idle, busy, booting, draining: 0 },
        };
        let (decision, memory) = self.decide(before.memory, &seen);
        Replicas { memory, wanted: decision.wanted }
    }
}
