//! `printmill queues`: how much work waits and runs in each lane, once or live.

use crate::cli::OperatorArgs;
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use printmill_client::{Client, time, v1};
use std::path::Path;
use std::time::Duration;

/// Show how much work waits and runs in each lane.
#[derive(Debug, Args)]
#[command(after_help = "\
READY waits and is due, DELAYED waits for its time (a retry, or work for later), RUNNING is held by
a worker or a facility, DEAD was given up and waits for a person: see `printmill tickets --help`.

Examples:
  printmill queues
  printmill queues --merchants           one line for each merchant with work
  printmill queues --watch               again every two seconds, until Ctrl-C
  printmill queues --json | jq '.[] | select(.dead != \"0\")'")]
pub(crate) struct QueuesArgs {
    /// One line for each merchant with work in a lane.
    #[arg(long)]
    merchants: bool,
    /// Show it again every two seconds, until Ctrl-C; with --json one line each time.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// How often `--watch` looks.
const AGAIN: Duration = Duration::from_secs(2);

/// Shows the lanes.
pub(crate) async fn run(args: &QueuesArgs, file: Option<&Path>, json: bool) -> Outcome {
    let client = args.operator.client(file)?;
    if !args.watch {
        let lanes = lanes(&client, args).await?;
        if json {
            return output::json(&lanes);
        }
        output::line(table(&lanes, args.merchants));
        if lanes.iter().any(|lane| lane.dead > 0) {
            output::next_steps(&[("printmill tickets dead", "what was given up, and why")]);
        }
        return Ok(());
    }
    let terminal = console::Term::stdout();
    loop {
        let lanes = lanes(&client, args).await?;
        if json {
            output::json(&lanes)?;
        } else {
            let _ = terminal.clear_screen();
            output::line(table(&lanes, args.merchants));
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn lanes(client: &Client, args: &QueuesArgs) -> Outcome<Vec<v1::LaneLoad>> {
    let request = v1::ListLanesRequest { by_merchant: args.merchants };
    Ok(client.list_lanes(request).await?.lanes)
}

fn table(lanes: &[v1::LaneLoad], merchants: bool) -> String {
    if lanes.is_empty() {
        return "no work waits or runs".into();
    }
    let mut head = vec!["LANE", "READY", "DELAYED", "RUNNING", "DEAD", "OLDEST READY SINCE"];
    if merchants {
        head.insert(1, "MERCHANT");
    }
    let rows: Vec<Vec<String>> = lanes
        .iter()
        .map(|lane| {
            let mut row = vec![lane.lane.clone()];
            if merchants {
                row.push(lane.merchant_id.clone());
            }
            let counts = [lane.ready, lane.delayed, lane.in_flight, lane.dead];
            row.extend(counts.map(|count| count.to_string()));
            row.push(time(lane.oldest_ready_time.as_ref()));
            row
        })
        .collect();
    output::table(&head, &rows)
}
