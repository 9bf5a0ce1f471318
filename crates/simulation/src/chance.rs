//! Chance: every random decision of a simulation, all from one seed.

use crate::locked;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

/// A source of decisions. The same seed decides the same.
#[derive(Debug)]
pub(crate) struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// True in so many of a thousand cases.
    pub(crate) fn strikes(&self, per_mille: u32) -> bool {
        per_mille > 0 && locked(&self.0).u32(0..1000) < per_mille
    }

    pub(crate) fn between(&self, range: RangeInclusive<u64>) -> u64 {
        locked(&self.0).u64(range)
    }

    pub(crate) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// One of several; nothing of none.
    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[locked(&self.0).usize(0..from.len())])
    }

    /// A place below a length that is not 0.
    pub(crate) fn index(&self, length: usize) -> usize {
        locked(&self.0).usize(0..length)
    }

    /// Another source, which decides on its own from here on.
    pub(crate) fn fork(&self) -> fastrand::Rng {
        locked(&self.0).fork()
    }
}

/// How bad it is: how often what goes wrong, in thousandths, and how long things take.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// A commit fails, and nothing was written.
    pub(crate) commit_before: u32,
    /// A commit was written, and its caller hears that it failed.
    pub(crate) commit_after: u32,
    /// A read fails.
    pub(crate) read: u32,
    /// A call of the queue or of the gateway fails, before or after its effect.
    pub(crate) call: u32,
    /// A process dies at a call, before or after it.
    pub(crate) crash: u32,
    /// A call takes time, up to `latency_ms`.
    pub(crate) slow: u32,
    pub(crate) latency_ms: u64,
    /// A message is in the queue twice.
    pub(crate) duplicate: u32,
    /// An acknowledged message stays.
    pub(crate) forgotten_ack: u32,
    /// A message comes late.
    pub(crate) delay: u32,
    /// A message is delivered again although its lease lasts.
    pub(crate) short_lease: u32,
    /// An attempt to make a file fails; rarely for good.
    pub(crate) press: u32,
    /// What befalls whole processes, and the queue: weights of each.
    pub(crate) crashes: u64,
    pub(crate) stalls: u64,
    pub(crate) restarts: u64,
    pub(crate) wipes: u64,
    /// The longest time between two of those.
    pub(crate) peace_ms: u64,
    /// How far clocks are apart at most.
    pub(crate) skew_ms: u64,
    /// Whether processes hear of each other's commits at once, as when all run in one.
    pub(crate) together: bool,
    /// How long it lasts.
    pub(crate) lasts: Duration,
}

impl Weather {
    /// Each fault is absent in half of the seeds, so that each is also seen without the others.
    pub(crate) fn draw(chance: &Chance) -> Self {
        let up_to = |most: u64| match chance.strikes(500) {
            true => chance.between(1..=most),
            false => 0,
        };
        let rate = |most| u32::try_from(up_to(most)).unwrap_or_default();
        Self {
            commit_before: rate(40),
            commit_after: rate(60),
            read: rate(20),
            call: rate(60),
            crash: rate(4),
            slow: rate(500),
            latency_ms: chance.between(1..=200),
            duplicate: rate(300),
            forgotten_ack: rate(300),
            delay: rate(300),
            short_lease: rate(100),
            press: rate(150),
            crashes: up_to(4),
            stalls: up_to(4),
            restarts: up_to(2),
            wipes: up_to(2),
            peace_ms: chance.between(1_000..=15_000),
            skew_ms: up_to(3_000),
            together: chance.strikes(500),
            lasts: chance.millis(20_000..=90_000),
        }
    }
}
