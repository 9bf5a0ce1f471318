//! The settings of the supervisor: how long tickets may wait, and how many workers there may be.

use super::Settings;
use crate::failure::{Failure, Outcome};
use printmill_domain::scaling::Policy;
use std::time::Duration;

/// The most workers on one machine.
const WORKERS_MAX: u64 = 256;
/// The longest that a ticket may be meant to wait, in seconds.
const TARGET_WAIT_MAX: u64 = 86_400;

impl Settings {
    /// What is wanted of workers that a supervisor starts, each with so many tickets of a lane at
    /// the same time.
    pub(crate) fn scaling_policy(&self, concurrency: usize) -> Policy {
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Policy {
            target_wait: Duration::from_secs(self.target_wait_seconds),
            // The supervisor sees how long it takes.
            boot: Duration::ZERO,
            workers_min: count(self.workers_min),
            workers_max: count(self.workers_max()),
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
        }
    }

    fn workers_max(&self) -> u64 {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from) as u64;
        self.workers_max.unwrap_or_else(|| cores().clamp(self.workers_min.max(1), WORKERS_MAX))
    }

    pub(super) fn check_supervision(&self) -> Outcome {
        let wrong = |message: String, advice: &str| Err(Failure::configuration(message, advice));
        if self.target_wait_seconds > TARGET_WAIT_MAX {
            return wrong("'target_wait_seconds' is out of range".into(), "use 0 to 86400");
        }
        if self.workers_min > WORKERS_MAX {
            return wrong("'workers_min' is out of range".into(), "use 0 to 256");
        }
        let max = self.workers_max();
        if !(1..=WORKERS_MAX).contains(&max) {
            return wrong("'workers_max' is out of range".into(), "use 1 to 256");
        }
        if self.workers_min > max {
            let message = format!("'workers_min' = {} is more than {max}", self.workers_min);
            return wrong(message, "use at most 'workers_max'");
        }
        Ok(())
    }
}
