//! The settings of calls to backends: how long they may take, and how many there may be at once.

use super::Settings;
use crate::failure::{Failure, Outcome};
use printmill_resilience::Limits;
use std::time::Duration;

/// The longest that a backend may be given to answer, in seconds.
const TIMEOUT_MAX: u64 = 3_600;
/// The most calls to a backend at once.
const AT_ONCE_MAX: u64 = 65_536;

/// The limits of calls to each backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackendLimits {
    pub(crate) database: Limits,
    pub(crate) queue: Limits,
    pub(crate) blobs: Limits,
    pub(crate) payments: Limits,
}

impl Settings {
    /// The limits of calls to each backend.
    pub(crate) fn backend_limits(&self) -> BackendLimits {
        let limits = |seconds: u64, at_once: u64| Limits {
            timeout: Duration::from_secs(seconds),
            at_once: usize::try_from(at_once).unwrap_or(usize::MAX),
        };
        BackendLimits {
            database: limits(self.database_seconds, self.database_at_once),
            queue: limits(self.queue_seconds, self.queue_at_once),
            blobs: limits(self.blobs_seconds, self.blobs_at_once),
            payments: limits(self.payments_seconds, self.payments_at_once),
        }
    }

    pub(super) fn check_backend_limits(&self) -> Outcome {
        let ranges = [
            ("database_seconds", self.database_seconds, TIMEOUT_MAX),
            ("database_at_once", self.database_at_once, AT_ONCE_MAX),
            ("queue_seconds", self.queue_seconds, TIMEOUT_MAX),
            ("queue_at_once", self.queue_at_once, AT_ONCE_MAX),
            ("blobs_seconds", self.blobs_seconds, TIMEOUT_MAX),
            ("blobs_at_once", self.blobs_at_once, AT_ONCE_MAX),
            ("payments_seconds", self.payments_seconds, TIMEOUT_MAX),
            ("payments_at_once", self.payments_at_once, AT_ONCE_MAX),
        ];
        match ranges.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            None => Ok(()),
            Some((key, _, most)) => Err(Failure::configuration(
                format!("'{key}' is out of range"),
                format!("use 1 to {most}"),
            )),
        }
    }
}
