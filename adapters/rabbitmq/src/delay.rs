//! Delays: a message waits in a queue that expires all of its messages after the same time, and
//! goes from there to its lane. There is one such queue for each of some times; a delay takes the
//! next longer one.

use std::time::Duration;

/// The times in milliseconds, each about a quarter or a third longer than the one before.
const BUCKETS: [u64; 44] = [
    50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000,
    6_000, 8_000, 10_000, 11_000, 12_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000,
    75_000, 90_000, 120_000, 150_000, 180_000, 240_000, 300_000, 400_000, 500_000, 600_000,
    900_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000, 3_600_000,
];

/// The longest delay.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(BUCKETS[BUCKETS.len() - 1]);

/// The shortest time that is no shorter than a delay, in milliseconds; nothing beyond the longest.
pub(crate) fn bucket(delay: Duration) -> Option<u64> {
    BUCKETS.into_iter().find(|bucket| Duration::from_millis(*bucket) >= delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_delay_is_shortened_and_none_doubled() {
        assert!(BUCKETS.is_sorted());
        for delay in (50..3_600_000).step_by(37).map(Duration::from_millis) {
            let taken = bucket(delay).map(Duration::from_millis);
            assert!(taken.is_some_and(|taken| taken >= delay && taken < 2 * delay), "{delay:?}");
        }
        assert_eq!(bucket(DELAY_MAX), Some(3_600_000));
        assert_eq!(bucket(DELAY_MAX + Duration::from_nanos(1)), None);
    }
}
