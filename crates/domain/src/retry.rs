//! How often and when work that failed is tried again.
//!
//! What fails because something it needs is away did not fail itself: it waits, and is tried again
//! every now and then, for as long as the policy has patience.

use crate::Timestamp;
use crate::problem::Code;
use crate::ticket::Ticket;
use crate::ticket_history::AttemptEnd;
use chrono::TimeDelta;

/// The longest wait for what is away, before jitter: its return is noticed within that.
pub const OUTAGE_CEILING: TimeDelta = TimeDelta::seconds(30);

/// How often and when a failed ticket is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures allowed, the last included.
    pub failures_max: u32,
    /// The wait after the first failure, before jitter.
    pub base: TimeDelta,
    /// The longest wait, before jitter.
    pub ceiling: TimeDelta,
    /// Lost leases allowed, the last included: work that takes its worker down each time.
    pub losses_max: u32,
    /// For how long after it was made a ticket waits for what is away. From then on that counts as
    /// failing.
    pub patience: TimeDelta,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            failures_max: 8,
            base: TimeDelta::milliseconds(500),
            ceiling: TimeDelta::seconds(300),
            losses_max: 5,
            patience: TimeDelta::days(1),
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
    /// Whether an attempt that ends with this code only found that something is away.
    pub(crate) fn only_waits(&self, policy: &RetryPolicy, code: Code, now: Timestamp) -> bool {
        code.is_outage() && now - self.created_at < policy.patience
    }

    /// The wait until something that is away is looked for again: longer with each attempt in a row
    /// that found it away.
    pub(crate) fn outage_wait(&self, policy: &RetryPolicy, jitter: u16) -> TimeDelta {
        let mut earlier = 0;
        for attempt in self.history.iter().rev().filter(|attempt| attempt.end.is_some()) {
            let found_away = attempt.end == Some(AttemptEnd::Failed)
                && attempt.problem.as_ref().is_some_and(|problem| problem.code.is_outage());
            if !found_away {
                break;
            }
            earlier += 1;
        }
        policy.backoff(earlier + 1, jitter).min(OUTAGE_CEILING)
    }
}
