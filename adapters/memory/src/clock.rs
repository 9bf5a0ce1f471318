//! A clock that stands still until it is told to move.

use crate::locked;
use printmill_backend::Clock;
use printmill_domain::Timestamp;
use std::sync::Mutex;
use std::time::Duration;

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that stands at a time, cut to whole microseconds.
    pub fn new(now: Timestamp) -> Self {
        Self { now: Mutex::new(in_microseconds(now)) }
    }

    /// Moves it forward, by whole microseconds. It stops at the last time there is.
    pub fn advance(&self, by: Duration) {
        let mut now = locked(&self.now);
        *now = i64::try_from(by.as_micros())
            .ok()
            .and_then(|micros| now.timestamp_micros().checked_add(micros))
            .and_then(Timestamp::from_timestamp_micros)
            .unwrap_or_else(|| in_microseconds(Timestamp::MAX_UTC));
    }

    /// Puts it to a time, also an earlier one: clocks jump.
    pub fn set(&self, now: Timestamp) {
        *locked(&self.now) = in_microseconds(now);
    }
}

impl Default for ManualClock {
    /// Stands at noon on the first day of 2026.
    fn default() -> Self {
        Self::new(Timestamp::from_timestamp(1_767_268_800, 0).unwrap_or_default())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *locked(&self.now)
    }
}

fn in_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_by_hand_and_in_whole_microseconds() {
        let clock = ManualClock::default();
        let before = clock.now();
        assert_eq!(before.to_rfc3339(), "2026-01-01T12:00:00+00:00");
        clock.advance(Duration::from_nanos(1_001_999));
        assert_eq!(clock.now() - before, chrono::TimeDelta::microseconds(1_001));
        clock.set(before);
        assert_eq!(clock.now(), before);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert!(clock.now() > before);
    }
}
