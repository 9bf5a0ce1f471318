//! What arrives when: traces made from a seed, and traces from a file.

use anyhow::Context;
use fastrand::Rng;
use serde::Deserialize;
use std::f64::consts::TAU;
use std::path::Path;

const HOUR: f64 = 3600.0;

/// One ticket of a trace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    /// When, in seconds from the trace's begin.
    pub(crate) at: f64,
    /// What is to be done.
    pub(crate) kind: String,
    /// How large it is; all that is known before it is done.
    pub(crate) size: f64,
    /// How long it takes, in seconds.
    pub(crate) duration: f64,
    /// Whose it is.
    pub(crate) merchant: String,
}

/// Arrivals in the order of their times.
#[derive(Debug)]
pub(crate) struct Trace {
    /// What it is called.
    pub(crate) name: String,
    /// What arrives.
    pub(crate) arrivals: Vec<Arrival>,
}

impl Trace {
    fn new(name: &str, mut arrivals: Vec<Arrival>) -> anyhow::Result<Self> {
        anyhow::ensure!(!arrivals.is_empty(), "the trace '{name}' is empty");
        arrivals.sort_by(|a, b| a.at.total_cmp(&b.at));
        Ok(Self { name: name.into(), arrivals })
    }

    /// The time that the work takes without any waste, in seconds.
    pub(crate) fn work(&self) -> f64 {
        self.arrivals.iter().map(|arrival| arrival.duration).sum()
    }

    /// The mean time that a ticket takes, in seconds.
    pub(crate) fn mean_duration(&self) -> f64 {
        self.work() / self.arrivals.len() as f64
    }

    /// The size of the ticket in the middle.
    pub(crate) fn median_size(&self) -> f64 {
        let mut sizes: Vec<f64> = self.arrivals.iter().map(|arrival| arrival.size).collect();
        sizes.sort_by(f64::total_cmp);
        sizes[sizes.len() / 2]
    }
}

/// A line of a trace's file. Of size and duration, one may be missing.
#[derive(Debug, Deserialize)]
struct Line {
    arrival: f64,
    kind: String,
    size: Option<f64>,
    duration: Option<f64>,
    merchant: String,
}

/// Reads a trace: a CSV file with the columns `arrival`, `kind`, `size`, `duration` and `merchant`.
///
/// Times are in seconds. A ticket without a duration takes `seconds_per_size` for each unit of its
/// size; the size of one without a size is 1, so that it tells nothing.
pub(crate) fn read(path: &Path, seconds_per_size: f64) -> anyhow::Result<Trace> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let mut arrivals = vec![];
    for (number, line) in reader.deserialize::<Line>().enumerate() {
        let line = line.with_context(|| format!("ticket {} of {}", number + 1, path.display()))?;
        let duration = match (line.duration, line.size) {
            (Some(duration), _) => duration,
            (None, Some(size)) => size * seconds_per_size,
            (None, None) => anyhow::bail!("ticket {} has neither size nor duration", number + 1),
        };
        let size = line.size.unwrap_or(1.0);
        let fine = |value: f64, least: f64| value.is_finite() && value >= least && value < 1e9;
        anyhow::ensure!(
            fine(line.arrival, 0.0) && fine(duration, 0.001) && fine(size, 1e-9),
            "ticket {} has a time or size that is negative, too small or too large",
            number + 1
        );
        let Line { arrival, kind, merchant, .. } = line;
        arrivals.push(Arrival { at: arrival, kind, size, duration, merchant });
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Trace::new(&name, arrivals)
}

/// The traces that need no file.
pub(crate) fn synthetic(seed: u64) -> anyhow::Result<Vec<Trace>> {
    let made = |name: &str, number, make: fn(&mut Maker)| {
        let rng = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number));
        let mut maker = Maker { rng, arrivals: vec![] };
        make(&mut maker);
        Trace::new(name, maker.arrivals)
    };
    Ok(vec![
        made("steady", 0, steady)?,
        made("daily wave", 1, daily_wave)?,
        made("burst", 2, burst)?,
        made("heavy tail", 3, heavy_tail)?,
        made("shop", 4, shop)?,
    ])
}

/// Six tickets a minute, all day.
fn steady(maker: &mut Maker) {
    maker.poisson(0.0, 24.0 * HOUR, |_| 6.0, Maker::render);
}

/// Two days, from almost nothing at night to 12 a minute at noon.
fn daily_wave(maker: &mut Maker) {
    let rate = |at: f64| 6.1 - 5.9 * (at / (24.0 * HOUR) * TAU).cos();
    maker.poisson(0.0, 48.0 * HOUR, rate, Maker::render);
}

/// One ticket a minute; every four hours a hundred times as many, for five minutes.
fn burst(maker: &mut Maker) {
    let bursting = |at: f64| (at - 2.0 * HOUR).rem_euclid(4.0 * HOUR) < 300.0;
    let rate = |at: f64| if bursting(at) { 100.0 } else { 1.0 };
    maker.poisson(0.0, 24.0 * HOUR, rate, Maker::render);
}

/// Three tickets a minute, most of them short, a few as long as half an hour.
fn heavy_tail(maker: &mut Maker) {
    maker.poisson(
        0.0,
        24.0 * HOUR,
        |_| 3.0,
        |maker| {
            let size = (4.0 * (1.0 - maker.rng.f64()).powf(-1.0 / 1.3)).min(1000.0);
            maker.ticket("audio.assemble", size, 1.8)
        },
    );
}

/// A week of a small shop: some 185 customers a day, most by day, who order some six pictures each
/// within minutes, and now and then many.
fn shop(maker: &mut Maker) {
    let rate = |at: f64| 0.1285 * (1.0 - 0.9 * (at / (24.0 * HOUR) * TAU).cos());
    let mut customers = Maker { rng: Rng::with_seed(maker.rng.u64(..)), arrivals: vec![] };
    customers.poisson(0.0, 168.0 * HOUR, rate, Maker::render);
    for (number, customer) in customers.arrivals.iter().enumerate() {
        let pictures = (2.4 * (1.0 - maker.rng.f64()).powf(-1.0 / 1.6)).min(64.0) as u32;
        let mut at = customer.at;
        for _ in 0..pictures.max(1) {
            let mut arrival = maker.render();
            arrival.at = at;
            arrival.merchant = format!("customer-{number}");
            maker.arrivals.push(arrival);
            at += maker.exponential(1.0 / 12.0);
        }
    }
}

/// Makes tickets from a seed.
struct Maker {
    rng: Rng,
    arrivals: Vec<Arrival>,
}

impl Maker {
    /// Tickets that come independently of each other, `rate` of them in a minute.
    fn poisson(
        &mut self,
        from: f64,
        to: f64,
        rate: impl Fn(f64) -> f64,
        ticket: impl Fn(&mut Self) -> Arrival,
    ) {
        const RATE_MAX: f64 = 100.0;
        let mut at = from;
        loop {
            at += self.exponential(RATE_MAX / 60.0);
            if at >= to {
                return;
            }
            if self.rng.f64() * RATE_MAX < rate(at) {
                let arrival = Arrival { at, ..ticket(self) };
                self.arrivals.push(arrival);
            }
        }
    }

    /// A render: half of them take less than 23 seconds, one in a hundred more than 106.
    fn render(&mut self) -> Arrival {
        let size = 24.0 * (0.6 * self.normal()).exp();
        self.ticket("item.render", size, 23.0 / 24.0)
    }

    fn ticket(&mut self, kind: &str, size: f64, seconds_per_size: f64) -> Arrival {
        let noise = (0.25 * self.normal()).exp();
        let duration = size * seconds_per_size * noise;
        let merchant = format!("merchant-{}", self.rng.u8(..20));
        Arrival { at: 0.0, kind: kind.into(), size, duration, merchant }
    }

    fn exponential(&mut self, rate: f64) -> f64 {
        -(1.0 - self.rng.f64()).ln() / rate
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        radius * (TAU * self.rng.f64()).cos()
    }
}
