//! How many workers: Printmill's policy against KEDA's and AWS's, on the same arrivals, with the
//! same boot times and the same losses.
//!
//! Everything is simulated, and the same seed gives the same figures again.

mod picture;
mod policies;
mod report;
mod simulation;
#[cfg(test)]
mod tests;
mod trace;

use anyhow::Context;
use clap::Args;
use policies::{Autoscaler, AwsBacklog, Keda, Printmill, Sees};
use printmill_domain::scaling::{Guess, Policy};
use serde::Serialize;
use simulation::{Pool, simulate};
use std::path::PathBuf;
use std::time::Duration;
use trace::Trace;

/// How to simulate.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A trace to replay instead of the synthetic ones: CSV with a header and the columns arrival
    /// (seconds), kind, size, duration (seconds; it or size may be empty) and merchant.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How long a ticket without a duration takes, in seconds for each unit of its size.
    #[arg(long, default_value_t = 1.0)]
    seconds_per_size: f64,
    /// Draws the synthetic traces, the spot market's kills and KEDA's victims.
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// How long a ticket may wait, in seconds.
    #[arg(long, default_value_t = 120.0)]
    target: f64,
    /// From asking for a worker to its first ticket, in seconds; several with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [5.0, 60.0, 180.0])]
    boot: Vec<f64>,
    /// Workers that there may be.
    #[arg(long, default_value_t = 100)]
    workers_max: u32,
    /// How often the spot market takes back a worker, in an hour of its life.
    #[arg(long, default_value_t = 0.25)]
    spot_kills: f64,
    /// Draw the comparison as an SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Print all runs as JSON.
    #[arg(long)]
    json: bool,
}

/// A policy that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Contender {
    Printmill,
    KedaTuned,
    KedaDefault,
    AwsBacklog,
}

impl Contender {
    const ALL: [Self; 4] = [Self::Printmill, Self::KedaTuned, Self::KedaDefault, Self::AwsBacklog];

    fn name(self) -> &'static str {
        match self {
            Self::Printmill => "Printmill",
            Self::KedaTuned => "KEDA tuned",
            Self::KedaDefault => "KEDA default",
            Self::AwsBacklog => "AWS backlog",
        }
    }
}

/// What is made difficult.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Scenario {
    /// Nothing.
    Calm,
    /// The spot market takes workers back.
    SpotKills,
    /// Work is first believed to take a quarter of its time. AWS's target stays so.
    GuessTooShort,
    /// Work is first believed to take four times its time. AWS's target stays so.
    GuessTooLong,
    /// Sizes tell nothing.
    NoSizes,
    /// Nor is it known how long each ticket has been held.
    CountersOnly,
}

impl Scenario {
    const ALL: [Self; 6] = [
        Self::Calm,
        Self::SpotKills,
        Self::GuessTooShort,
        Self::GuessTooLong,
        Self::NoSizes,
        Self::CountersOnly,
    ];

    /// Those that it makes a difference to.
    fn concerns(self, contender: Contender) -> bool {
        match self {
            Self::Calm | Self::SpotKills => true,
            Self::GuessTooShort | Self::GuessTooLong => {
                matches!(contender, Contender::Printmill | Contender::AwsBacklog)
            }
            Self::NoSizes | Self::CountersOnly => contender == Contender::Printmill,
        }
    }

    fn guessed(self) -> f64 {
        match self {
            Self::GuessTooShort => 0.25,
            Self::GuessTooLong => 4.0,
            _ => 1.0,
        }
    }

    fn sees(self) -> Sees {
        match self {
            Self::NoSizes => Sees::NoSizes,
            Self::CountersOnly => Sees::Counters,
            _ => Sees::Everything,
        }
    }
}

/// One policy on one trace.
#[derive(Debug, Serialize)]
struct Run {
    scenario: Scenario,
    trace: String,
    boot_seconds: f64,
    policy: Contender,
    tickets: usize,
    /// What the work takes without any waste.
    work_seconds: f64,
    worker_seconds: f64,
    /// The part of the tickets that were begun (for the last time) after the target wait.
    over_target: f64,
    wait_p50_seconds: f64,
    wait_p99_seconds: f64,
    busy_killed: u32,
    spot_killed: u32,
    started: u32,
    workers_most: u32,
    unfinished: usize,
}

impl Run {
    /// Worker-seconds for each second of work.
    fn cost(&self) -> f64 {
        self.worker_seconds / self.work_seconds
    }
}

/// Simulates and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let times = options.boot.iter().chain([&options.target, &options.spot_kills]);
    let fine = times.into_iter().all(|value| (0.0..=86_400.0).contains(value));
    anyhow::ensure!(fine, "times are from 0 to 86400 seconds, and kills up to 86400 an hour");
    anyhow::ensure!((1..=10_000).contains(&options.workers_max), "workers are from 1 to 10000");
    let traces = match &options.trace {
        Some(path) => vec![trace::read(path, options.seconds_per_size)?],
        None => trace::synthetic(options.seed)?,
    };
    let mut runs = vec![];
    for scenario in Scenario::ALL {
        for boot in &options.boot {
            for trace in &traces {
                let contenders = Contender::ALL.into_iter();
                for contender in contenders.filter(|contender| scenario.concerns(*contender)) {
                    runs.push(one(options, scenario, *boot, trace, contender));
                }
            }
        }
    }
    if let Some(path) = &options.picture {
        let drawn = picture::draw(&runs, &options.boot, options.target)?;
        std::fs::write(path, drawn).with_context(|| format!("{}", path.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
    } else {
        report::print(&runs, options);
    }
    Ok(())
}

fn one(
    options: &Options,
    scenario: Scenario,
    boot: f64,
    trace: &Trace,
    contender: Contender,
) -> Run {
    let kills_per_hour = if scenario == Scenario::SpotKills { options.spot_kills } else { 0.0 };
    let workers_max = options.workers_max;
    let pool = Pool { boot, workers_max, kills_per_hour, seed: options.seed };
    let guessed = trace.mean_duration() * scenario.guessed();
    let mut policy: Box<dyn Autoscaler> = match contender {
        Contender::Printmill => {
            let policy = Policy {
                target_wait: Duration::from_secs_f64(options.target),
                boot: Duration::from_secs_f64(boot),
                workers_min: 0,
                workers_max,
                concurrency: 1,
            };
            let sees = scenario.sees();
            let size = if sees == Sees::Everything { trace.median_size() } else { 1.0 };
            let guess = Guess { size, time: Duration::from_secs_f64(guessed) };
            Box::new(Printmill::new(policy, guess, sees))
        }
        Contender::KedaTuned => Box::new(Keda::new(2.0, 600.0, workers_max)),
        Contender::KedaDefault => Box::new(Keda::new(5.0, 30.0, workers_max)),
        Contender::AwsBacklog => Box::new(AwsBacklog::new(options.target, guessed, workers_max)),
    };
    let outcome = simulate(trace, &pool, policy.as_mut());
    Run {
        scenario,
        trace: trace.name.clone(),
        boot_seconds: boot,
        policy: contender,
        tickets: trace.arrivals.len(),
        work_seconds: trace.work(),
        worker_seconds: outcome.worker_seconds,
        over_target: outcome.over(options.target),
        wait_p50_seconds: outcome.wait(0.5),
        wait_p99_seconds: outcome.wait(0.99),
        busy_killed: outcome.busy_killed,
        spot_killed: outcome.spot_killed,
        started: outcome.started,
        workers_most: outcome.workers_most,
        unfinished: outcome.unfinished,
    }
}
