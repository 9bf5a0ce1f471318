//! The clock, so that tests and simulations can bring their own.

use printmill_domain::Timestamp;

/// Tells the time.
///
/// # Contract
///
/// - `now` has a precision of one microsecond or coarser, which every database stores exactly.
/// - It may jump; nothing may rely on two readings being in order.
pub trait Clock: Send + Sync {
    /// The time now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = chrono::Utc::now();
        Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}
