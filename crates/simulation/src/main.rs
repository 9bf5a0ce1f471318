//! Runs simulations: `cargo xtask sim`.

use clap::Parser;
use printmill_simulation::{Run, Without, seeds, simulate};
use std::process::ExitCode;
use std::time::Instant;

/// Runs simulations of the whole platform and judges their histories.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Run this seed alone, and show its history.
    #[arg(long)]
    seed: Option<u64>,
    /// Switch something off, to see that the model finds it.
    #[arg(long)]
    without: Option<Without>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seeds, from, seed, without } = Arguments::parse();
    if let Some(seed) = seed {
        let run = simulate(seed, without)?;
        for line in run.lines() {
            println!("{line}");
        }
        return Ok(verdict(&run));
    }
    let began = Instant::now();
    let failure = seeds::first(from..from.saturating_add(seeds), without, Run::fails)?;
    match failure {
        Some(run) => {
            let code = verdict(&run);
            eprintln!("see its history: cargo xtask sim --seed {}", run.seed);
            Ok(code)
        }
        None => {
            println!(
                "{seeds} seeds, and nothing is wrong ({:.1} s)",
                began.elapsed().as_secs_f64()
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verdict(run: &Run) -> ExitCode {
    if run.findings.is_empty() {
        println!("seed {}: nothing is wrong; digest {:016x}", run.seed, run.digest());
        return ExitCode::SUCCESS;
    }
    eprintln!("seed {} fails; digest {:016x}", run.seed, run.digest());
    for finding in &run.findings {
        eprintln!("  {finding}");
    }
    ExitCode::FAILURE
}
