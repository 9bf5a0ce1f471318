//! How often and when work that failed is tried again.

use chrono::TimeDelta;

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
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            failures_max: 8,
            base: TimeDelta::milliseconds(500),
            ceiling: TimeDelta::seconds(300),
            losses_max: 5,
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
