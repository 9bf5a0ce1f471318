//! `printmill facility`: the client that runs in a print facility.

use super::keys;
use crate::bootstrap;
use crate::cli::ServerArgs;
use crate::config::Flags;
use crate::failure::Outcome;
use crate::output;
use crate::signals::shutdown_on_signal;
use clap::{Args, Subcommand};
use console::style;
use printmill_client::facility::{FacilityClient, FacilityNote, FacilityOptions, SimulatedPress};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Print facilities.
#[derive(Debug, Subcommand)]
pub(crate) enum FacilityCommand {
    /// Take on a facility's print jobs, one after the other, until stopped.
    Run(RunArgs),
    /// List the facilities, straight from the configured database.
    List(Box<ListArgs>),
}

/// Take on a facility's print jobs until stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Leases print jobs from the facility's lane, fetches each file into the spool, checks its SHA-256,
takes the job on, and reports when it is printed and shipped. The press is simulated. It may be
stopped and started at any time: jobs that it took on go on where they were.

The key is a facility's:
  printmill keys create --facility fac_… --name berlin

Examples:
  printmill facility run --key pmk_…
  printmill facility run --spool /var/spool/printmill --press-time 30 --json")]
pub(crate) struct RunArgs {
    /// The folder for files until their job is shipped. No other client may use it.
    #[arg(long, value_name = "DIR", default_value = "./printmill-spool")]
    spool: PathBuf,
    /// Seconds that the simulated press takes for a job.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    press_time: f64,
    /// Jobs at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    server: ServerArgs,
}

/// List the facilities.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill facility list
  printmill facility list --json | jq -r '.[].id'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    flags: Flags,
}

fn seconds(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    parsed.ok_or_else(|| "use a number of seconds, 0 to 86400".into())
}

/// Runs one of them.
pub(crate) async fn run(command: &FacilityCommand, file: Option<&Path>, json: bool) -> Outcome {
    match command {
        FacilityCommand::Run(args) => work(args, json).await,
        FacilityCommand::List(args) => list(args, file, json).await,
    }
}

async fn work(args: &RunArgs, json: bool) -> Outcome {
    let shutdown = shutdown_on_signal()?;
    let client = args.server.client()?;
    let holder = format!("facility client, process {}", std::process::id());
    let mut options = FacilityOptions::new(args.spool.clone(), holder);
    options.jobs_max = args.jobs.clamp(1, 32);
    let press = Arc::new(SimulatedPress { time: Duration::from_secs_f64(args.press_time) });
    if !json {
        output::line(format!("waiting for print jobs from {}", args.server.server));
    }
    let facility = FacilityClient::new(client, options, press, move |note| {
        if json {
            if let Some(value) = as_json(&note) {
                output::line(value);
            }
        } else if let Some(text) = as_text(&note) {
            output::line(text);
        }
    });
    Ok(facility.run(shutdown).await?)
}

/// A note as people read it. Progress of downloads is left out.
pub(crate) fn as_text(note: &FacilityNote) -> Option<String> {
    Some(match note {
        FacilityNote::Leased(job) => {
            format!("{} {} × {}, {} pages", job.id, job.quantity, job.sku, job.pages)
        }
        FacilityNote::Fetching { .. } => return None,
        FacilityNote::Accepted(job) => {
            format!("{} accepted, file checked: SHA-256 {}", job.id, job.file_sha256)
        }
        FacilityNote::Resumed(job) => format!("{} goes on where it was", job.id),
        FacilityNote::Printing(job) => format!("{} printing", job.id),
        FacilityNote::Shipped(job, tracking) => {
            format!("{} shipped with {}, {}", job.id, tracking.carrier, tracking.number)
        }
        FacilityNote::GivenUp { job, error } => {
            format!("{} {job} given up: {error} ({})", style("✗").red(), error.code)
        }
        FacilityNote::Waiting(error) => format!("waiting: {error}"),
    })
}

fn as_json(note: &FacilityNote) -> Option<Value> {
    Some(match note {
        FacilityNote::Fetching { .. } => return None,
        FacilityNote::Leased(job) => json!({ "note": "leased", "job": job }),
        FacilityNote::Accepted(job) => json!({ "note": "accepted", "job": job }),
        FacilityNote::Resumed(job) => json!({ "note": "resumed", "job": job }),
        FacilityNote::Printing(job) => json!({ "note": "printing", "job": job }),
        FacilityNote::Shipped(job, _) => json!({ "note": "shipped", "job": job }),
        FacilityNote::GivenUp { job, error } => {
            json!({ "note": "given_up", "job": { "id": job }, "error": error })
        }
        FacilityNote::Waiting(error) => json!({ "note": "waiting", "error": error }),
    })
}

async fn list(args: &ListArgs, file: Option<&Path>, json: bool) -> Outcome {
    let database = keys::open(file, &args.flags).await?;
    let facilities = bootstrap::facilities(database.as_ref()).await?;
    if json {
        return output::json(&facilities);
    }
    let rows: Vec<Vec<String>> = facilities
        .iter()
        .map(|facility| {
            let open = if facility.open { "open" } else { "closed" };
            vec![
                facility.id.to_string(),
                facility.name.clone(),
                facility.country.clone(),
                facility.bindings.join(", "),
                open.into(),
            ]
        })
        .collect();
    output::line(output::table(&["FACILITY", "NAME", "COUNTRY", "BINDINGS", "STATE"], &rows));
    output::next_steps(&[(
        "printmill keys create --facility FACILITY --name NAME",
        "a key for `printmill facility run`",
    )]);
    Ok(())
}
