//! Seeded chance: a failing run prints its seed, and the seed gives the same decisions again.

/// A source of decisions, with the seed that it came from.
#[derive(Debug, Clone)]
pub struct Chance {
    /// The seed.
    pub seed: u64,
    random: fastrand::Rng,
}

impl Chance {
    /// The seed of `PRINTMILL_TEST_SEED`, or a fresh one; printed, so that a failure shows it.
    pub fn from_environment(test: &str) -> Self {
        let given = std::env::var("PRINTMILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
        println!("{test}: seed {seed} (PRINTMILL_TEST_SEED={seed} repeats it)");
        Self::new(seed)
    }

    /// Chance from a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, random: fastrand::Rng::with_seed(seed) }
    }

    /// Chance of its own for a part of the test.
    pub fn fork(&mut self) -> Self {
        Self::new(self.random.u64(..))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.random.u64(..end.max(1))
    }

    /// Lets a random time below `end` pass: for what must work at any moment, not for waiting.
    pub async fn any_moment(&mut self, end: std::time::Duration) {
        let micros = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
        tokio::time::sleep(std::time::Duration::from_micros(self.below(micros))).await;
    }
}
