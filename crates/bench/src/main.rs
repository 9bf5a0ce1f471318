//! Speed and size, measured on real processes against named peers in the same run.
//!
//! `cargo run --release -p printmill-bench -- all` prints tables in Markdown. Build the binary
//! first, in release: `cargo build --release`.

mod counts;
mod footprint;
mod ground;
mod guard;
mod intake;
mod jobs;
mod latency;
mod machine;
mod queues;
mod raw_backend;
mod raw_jobs;
mod raw_pgbench;
mod raw_sqlite;
mod scaling;
mod table;

use clap::{Parser, Subcommand};

/// Measures Printmill on this machine.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  cargo build --release && cargo run --release -p printmill-bench -- all
  cargo run --release -p printmill-bench -- intake --seconds 20

On servers (`cargo xtask servers install`), with a binary that has all adapters:
  cargo build --release -p printmill --features full
  cargo run --release -p printmill-bench -- latency --on nats")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Durable intake over gRPC, against raw group-committed inserts of the same rows.
    Intake(intake::Options),
    /// From an order being accepted to its first handler starting.
    Latency(latency::Options),
    /// Start-up time, and memory and processor time of an idle node.
    Footprint(footprint::Options),
    /// Jobs that do nothing, through the whole engine, against a table of jobs by hand.
    Jobs(jobs::Options),
    /// Each queue adapter, against its backend's own client.
    Queues(queues::Options),
    /// What statistics cost with a million tickets parked.
    Counts(counts::Options),
    /// What a call to a backend costs on its way through what guards it.
    Guard(guard::Options),
    /// How many workers: Printmill's policy against KEDA's and AWS's, simulated.
    Scaling(scaling::Options),
    /// Everything, with its defaults.
    All,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let What::Scaling(options) = &cli.what {
        return scaling::run(options);
    }
    machine::print()?;
    match cli.what {
        What::Scaling(options) => scaling::run(&options),
        What::Intake(options) => intake::run(&options).await,
        What::Latency(options) => latency::run(&options).await,
        What::Footprint(options) => footprint::run(&options).await,
        What::Jobs(options) => jobs::run(&options).await,
        What::Queues(options) => queues::run(&options).await,
        What::Counts(options) => counts::run(&options).await,
        What::Guard(options) => guard::run(&options).await,
        What::All => {
            footprint::run(&footprint::Options::default()).await?;
            intake::run(&intake::Options::default()).await?;
            latency::run(&latency::Options::default()).await?;
            jobs::run(&jobs::Options::default()).await?;
            queues::run(&queues::Options::default()).await?;
            guard::run(&guard::Options::default()).await?;
            counts::run(&counts::Options::default()).await
        }
    }
}
