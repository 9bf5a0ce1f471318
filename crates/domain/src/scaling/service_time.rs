//! How long work takes: estimated from its kind and size, and learnt from what it took.
//!
//! For each kind, the logarithm of the time is a straight line over the logarithm of the size. The
//! line is followed by recursive least squares with forgetting, so that it moves when the machines
//! or the work change. How far an observation lies off the line is cut at a few times what is usual
//! there: one job that hung for hours moves the line as little as one that was merely slow. A line
//! that is wrong altogether finds everything far off, so that what is usual widens and it moves.

use std::collections::BTreeMap;
use std::time::Duration;

/// Kinds that are told apart; what comes after shares one line.
const KINDS_MAX: usize = 256;
/// What an observation counts for when the next one has come.
const FORGETTING: f64 = 0.98;
/// How far off the line an observation may count, in usual distances.
const CUT: f64 = 2.5;
/// The part of the usual distance that one observation replaces, once there were some.
const DISTANCE_STEP: f64 = 0.05;
/// The variances of a first guess, of the logarithms of level and slope.
const GUESS_VARIANCE: (f64, f64) = (2.0, 0.1);
/// Shorter and longer times than these, in seconds, are taken for these.
const SECONDS: (f64, f64) = (0.001, 7.0 * 86_400.0);

/// What is believed before anything was seen: work of `size` takes `time`, twice the size twice as
/// long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// A size, in the unit in which sizes are given, greater than 0.
    pub size: f64,
    /// How long work of that size takes.
    pub time: Duration,
}

impl Guess {
    fn logarithms(&self) -> (f64, f64) {
        (clamped(self.size, (1e-6, 1e12)).ln(), seconds(self.time).ln())
    }
}

/// The time that work takes on the average, and how much it varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceTime {
    /// The mean.
    pub mean: Duration,
    /// The standard deviation, as a multiple of the mean.
    pub variation: f64,
}

/// What was learnt so far.
#[derive(Debug, Clone)]
pub struct ServiceTimes {
    guess: Guess,
    kinds: BTreeMap<String, Line>,
    others: Line,
    all: Level,
}

impl ServiceTimes {
    /// Nothing learnt yet but a guess, for every kind.
    pub fn new(guess: Guess) -> Self {
        let (_, time) = guess.logarithms();
        Self { guess, kinds: BTreeMap::new(), others: Line::new(&guess), all: Level::new(time) }
    }

    /// Work of this kind and size took so long. Only work that ended well tells how long it takes.
    pub fn observe(&mut self, kind: &str, size: f64, took: Duration) {
        let known = self.kinds.contains_key(kind);
        let line = if known || self.kinds.len() < KINDS_MAX {
            let guess = self.guess;
            self.kinds.entry(kind.to_owned()).or_insert_with(|| Line::new(&guess))
        } else {
            &mut self.others
        };
        line.observe(size, seconds(took).ln());
        self.all.observe(seconds(took).ln());
    }

    /// How long work of this kind and size takes on the average.
    pub fn expect(&self, kind: &str, size: f64) -> Duration {
        self.kinds.get(kind).unwrap_or(&self.others).expect(size)
    }

    /// How long work takes, of whatever kind and size came lately.
    pub fn typical(&self) -> ServiceTime {
        let variance = self.all.distance.usual.powi(2);
        ServiceTime {
            mean: of_logarithm(self.all.level + variance / 2.0),
            variation: variance.exp_m1().sqrt(),
        }
    }
}

/// The line of one kind: level at the guess's size, slope, and the covariance of both.
#[derive(Debug, Clone)]
struct Line {
    origin: f64,
    level: f64,
    slope: f64,
    covariance: [f64; 3],
    distance: Distance,
}

impl Line {
    fn new(guess: &Guess) -> Self {
        let (origin, level) = guess.logarithms();
        let covariance = [GUESS_VARIANCE.0, 0.0, GUESS_VARIANCE.1];
        Self { origin, level, slope: 1.0, covariance, distance: Distance::default() }
    }

    fn along(&self, size: f64) -> f64 {
        clamped(size, (1e-6, 1e12)).ln() - self.origin
    }

    fn expect(&self, size: f64) -> Duration {
        let variance = self.distance.usual.powi(2);
        of_logarithm(self.level + self.slope * self.along(size) + variance / 2.0)
    }

    fn observe(&mut self, size: f64, took: f64) {
        let x = self.along(size);
        let [level, both, slope] = self.covariance;
        let off = self.distance.cut(took - self.level - self.slope * x);
        let (to_level, to_slope) = (level + both * x, both + slope * x);
        let spread = FORGETTING * self.distance.usual.powi(2) + to_level + to_slope * x;
        let (gain_level, gain_slope) = (to_level / spread, to_slope / spread);
        self.level += gain_level * off;
        self.slope = (self.slope + gain_slope * off).clamp(0.0, 2.0);
        // Where sizes never differ, the slope cannot be learnt, and its variance must not grow.
        self.covariance = [
            ((level - gain_level * to_level) / FORGETTING).clamp(0.0, GUESS_VARIANCE.0),
            (both - gain_level * to_slope) / FORGETTING,
            ((slope - gain_slope * to_slope) / FORGETTING).clamp(0.0, GUESS_VARIANCE.1),
        ];
        let bound = (self.covariance[0] * self.covariance[2]).sqrt();
        self.covariance[1] = self.covariance[1].clamp(-bound, bound);
        self.distance.learn(off);
    }
}

/// A level without a line: that of all kinds and sizes together.
#[derive(Debug, Clone)]
struct Level {
    level: f64,
    distance: Distance,
}

impl Level {
    fn new(level: f64) -> Self {
        Self { level, distance: Distance::default() }
    }

    fn observe(&mut self, took: f64) {
        let off = self.distance.cut(took - self.level);
        self.level += off * self.distance.step();
        self.distance.learn(off);
    }
}

/// How far off observations usually are: about their standard deviation.
#[derive(Debug, Clone)]
struct Distance {
    usual: f64,
    seen: u32,
}

impl Default for Distance {
    fn default() -> Self {
        Self { usual: 1.0, seen: 0 }
    }
}

impl Distance {
    fn cut(&self, off: f64) -> f64 {
        off.clamp(-CUT * self.usual, CUT * self.usual)
    }

    fn step(&self) -> f64 {
        (1.0 / (f64::from(self.seen) + 2.0)).max(DISTANCE_STEP)
    }

    /// Of a normal distribution, the mean distance is 0.8 standard deviations.
    fn learn(&mut self, off: f64) {
        self.usual += self.step() * (off.abs() / 0.8 - self.usual);
        self.usual = self.usual.clamp(0.05, 3.0);
        self.seen = self.seen.saturating_add(1);
    }
}

fn clamped(value: f64, (least, most): (f64, f64)) -> f64 {
    if value.is_nan() { least } else { value.clamp(least, most) }
}

fn seconds(time: Duration) -> f64 {
    clamped(time.as_secs_f64(), SECONDS)
}

fn of_logarithm(logarithm: f64) -> Duration {
    Duration::from_secs_f64(clamped(logarithm.exp(), SECONDS))
}
