//! `printmill workers`: list workers, drain and resume them, and set how much they take on.

use crate::cli::OperatorArgs;
use crate::failure::Outcome;
use crate::output;
use clap::{ArgGroup, Args, Subcommand};
use printmill_client::{Client, time, v1};
use std::path::Path;

/// Workers that are read at once.
const PART: i32 = 100;

/// List workers and what they work on; drain and resume them, and set how much they take on.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A worker is a process with the role `worker`, or a program outside that announced itself over the
API. Each has a record: what it serves, what it works on, and what is wanted of it. A command
changes the record and wakes the worker, which acts within moments. If that goes astray, it acts
with its next heartbeat (3 s) while it works, or with its next report (a minute) while it does not;
one outside gets no tickets against what is wanted in any case. What is wanted ends with the
process: a new one begins as configured.

`printmill tickets` shows single tickets, `printmill queues` what waits.")]
pub(crate) enum WorkersCommand {
    /// List workers: what they serve, and what they work on.
    List(ListArgs),
    /// Let workers take nothing new, and finish what they work on.
    #[command(after_help = "\
A drained worker stays, and does nothing, until it is resumed or stopped: drain before you stop or
replace a machine whose work takes long.

Examples:
  printmill workers drain wrk_…
  printmill workers drain --all           nothing new begins anywhere
  printmill workers list                  RUNNING is 0 when it has finished")]
    Drain(ManyArgs),
    /// Let drained workers take on work again, paused lanes included.
    #[command(after_help = "\
Examples:
  printmill workers resume wrk_…
  printmill workers resume --all")]
    Resume(ManyArgs),
    /// Pause a lane of a worker, or set how many of its tickets it works on at once.
    Set(SetArgs),
}

/// List workers.
#[derive(Debug, Args)]
#[command(after_help = "\
STATE is serving, draining (takes nothing new), silent (no report for three minutes: it may be dead)
or gone. LANES shows how many tickets at once. A state with * is wanted, and not acted on yet. PID is
`outside` for workers outside. Those that are gone are forgotten after a day (`keep_workers_days`).

Examples:
  printmill workers list
  printmill workers list --gone
  printmill workers list --json | jq -r '.[].running[].ticketId'")]
pub(crate) struct ListArgs {
    /// Also those that have left.
    #[arg(long)]
    gone: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Which workers.
#[derive(Debug, Args)]
pub(crate) struct ManyArgs {
    /// The workers.
    #[arg(value_name = "WORKER", required_unless_present = "all", conflicts_with = "all")]
    workers: Vec<String>,
    /// All that have not left.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Change a lane of a worker.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
#[command(after_help = "\
What runs is not disturbed: with fewer at once, nothing new begins until enough has ended.

Examples:
  printmill workers set wrk_… --lane render --concurrency 4
  printmill workers set wrk_… --lane render --paused true
  printmill workers set wrk_… --lane render --paused false")]
pub(crate) struct SetArgs {
    /// The worker.
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Which of the lanes that it serves.
    #[arg(long)]
    lane: String,
    /// How many tickets at once.
    #[arg(long, group = "change", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256))]
    concurrency: Option<u32>,
    /// Whether to take nothing new from the lane.
    #[arg(long, group = "change", value_name = "BOOL")]
    paused: Option<bool>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) async fn run(command: &WorkersCommand, file: Option<&Path>, json: bool) -> Outcome {
    let changed = match command {
        WorkersCommand::List(args) => {
            let workers = all(&args.operator.client(file)?, args.gone).await?;
            if json {
                return output::json(&workers);
            }
            output::line(table(&workers));
            return Ok(());
        }
        WorkersCommand::Drain(args) => drain(args, true, file).await?,
        WorkersCommand::Resume(args) => drain(args, false, file).await?,
        WorkersCommand::Set(args) => {
            let lane = v1::WorkerLaneChange {
                lane: args.lane.clone(),
                paused: args.paused,
                concurrency: args.concurrency,
            };
            let (worker_id, lanes) = (args.worker.clone(), vec![lane]);
            let request = v1::UpdateWorkerRequest { worker_id, lanes, ..Default::default() };
            vec![args.operator.client(file)?.update_worker(request).await?]
        }
    };
    if json {
        return output::json(&changed);
    }
    output::line(table(&changed));
    output::next_steps(&[("printmill workers list", "see when it is acted on")]);
    Ok(())
}

async fn drain(args: &ManyArgs, draining: bool, file: Option<&Path>) -> Outcome<Vec<v1::Worker>> {
    let client = args.operator.client(file)?;
    let there = if args.all || !draining { all(&client, false).await? } else { vec![] };
    let wanted = match args.all {
        true => there.iter().map(|worker| worker.worker_id.clone()).collect(),
        false => args.workers.clone(),
    };
    let mut changed = vec![];
    for worker_id in wanted {
        let known = there.iter().find(|worker| worker.worker_id == worker_id);
        let paused = known.into_iter().flat_map(|worker| &worker.lanes).filter(|lane| lane.paused);
        let lanes = paused.filter(|_| !draining).map(|lane| v1::WorkerLaneChange {
            lane: lane.lane.clone(),
            paused: Some(false),
            concurrency: None,
        });
        let lanes = lanes.collect();
        let draining = Some(draining);
        let request = v1::UpdateWorkerRequest { worker_id, draining, lanes, ..Default::default() };
        changed.push(client.update_worker(request).await?);
    }
    Ok(changed)
}

async fn all(client: &Client, include_gone: bool) -> Outcome<Vec<v1::Worker>> {
    let (mut found, mut page_token) = (vec![], String::new());
    loop {
        let request = v1::ListWorkersRequest { page_size: PART, page_token, include_gone };
        let page = client.list_workers(request).await?;
        found.extend(page.workers);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn table(workers: &[v1::Worker]) -> String {
    if workers.is_empty() {
        return "there are no workers".into();
    }
    let heads = ["WORKER", "HOST", "PID", "STATE", "LANES", "RUNNING", "LAST REPORT"];
    let rows: Vec<Vec<String>> = workers.iter().map(row).collect();
    output::table(&heads, &rows)
}

fn row(worker: &v1::Worker) -> Vec<String> {
    let state = worker.state().as_str_name().trim_start_matches("WORKER_STATE_").to_lowercase();
    let lanes = worker.lanes.iter().map(|lane| match lane.paused {
        true => format!("{} paused", lane.lane),
        false => format!("{} {}", lane.lane, lane.concurrency),
    });
    vec![
        worker.worker_id.clone(),
        worker.host.clone(),
        if worker.outside { "outside".into() } else { worker.pid.to_string() },
        if worker.heeded { state } else { format!("{state}*") },
        lanes.collect::<Vec<_>>().join(", "),
        worker.running_count.to_string(),
        time(worker.last_report_time.as_ref()),
    ]
}
