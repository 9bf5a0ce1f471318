//! `printmill consumers`: who reads the event log, straight in the configured database.

use super::keys::open;
use crate::config::Flags;
use crate::failure::Outcome;
use crate::output;
use clap::{Args, Subcommand};
use printmill_backend::SystemClock;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Aggregate;
use printmill_domain::subscription::Consumer;
use printmill_engine::subscription::{Consumers, From};
use std::path::Path;
use std::sync::Arc;

/// Consumers.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsumersCommand {
    /// List the consumers: how far each has read, and which streams wait.
    List(ListArgs),
    /// Have a consumer read again from an earlier place or time on.
    Replay(ReplayArgs),
    /// Have a stream that waits tried again now.
    Resume(ResumeArgs),
}

/// List the consumers.
#[derive(Debug, Args)]
#[command(after_help = "\
A stream waits when one of its events cannot be applied; it is parked after six failures.

Examples:
  printmill consumers list
  printmill consumers list --json | jq '.[] | {name, cursor, held}'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Have a consumer read again.
#[derive(Debug, Args)]
#[command(after_help = "\
A running node notices within a few seconds. Streams that wait are read again with the others.

Examples:
  printmill consumers replay event-counts --after 0
  printmill consumers replay event-counts --since 2026-01-31T08:00:00Z")]
#[command(group = clap::ArgGroup::new("from").required(true))]
pub(crate) struct ReplayArgs {
    /// The consumer; see `printmill consumers list`.
    #[arg(value_name = "NAME")]
    name: String,
    /// Begin after this place in the log, a `seq`; 0 for all that is kept.
    #[arg(long, value_name = "SEQ", group = "from")]
    after: Option<u64>,
    /// Begin with the first event at this time or later.
    #[arg(long, value_name = "TIME", group = "from")]
    since: Option<Timestamp>,
    #[command(flatten)]
    flags: Flags,
}

/// Have a stream that waits tried again now.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill consumers resume event-counts ord_…
  printmill consumers resume event-counts ord_… --skip    without the event that failed")]
pub(crate) struct ResumeArgs {
    /// The consumer; see `printmill consumers list`.
    #[arg(value_name = "NAME")]
    name: String,
    /// The stream.
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Give up the event that failed, and go on with the next.
    #[arg(long)]
    skip: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs one of them.
pub(crate) async fn run(command: &ConsumersCommand, file: Option<&Path>, json: bool) -> Outcome {
    let flags = match command {
        ConsumersCommand::List(args) => &args.flags,
        ConsumersCommand::Replay(args) => &args.flags,
        ConsumersCommand::Resume(args) => &args.flags,
    };
    let consumers = Consumers::new(open(file, flags).await?, Arc::new(SystemClock));
    let shown: Vec<Consumer> = match command {
        ConsumersCommand::List(_) => {
            consumers.list().await?.into_iter().map(|found| found.value).collect()
        }
        ConsumersCommand::Replay(args) => {
            let from = match args.since {
                Some(time) => From::Time(time),
                None => From::Seq(args.after.unwrap_or_default()),
            };
            consumers.replay(&args.name, from).await?
        }
        ConsumersCommand::Resume(args) => {
            vec![consumers.resume(&args.name, &args.stream, args.skip).await?]
        }
    };
    if json {
        return output::json(&shown);
    }
    if shown.is_empty() {
        output::line("no consumer has run yet");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    output::line(output::table(&["CONSUMER", "READ UP TO", "RUN BY", "WAITING", "PARKED"], &rows));
    for consumer in &shown {
        for (stream, held) in &consumer.held {
            let (seq, problem) = (held.from, &held.problem);
            output::line(format!("\n{stream}  waits at {seq}: {problem} ({})", problem.code));
            output::line(format!("  help: {}", problem.advice));
        }
    }
    Ok(())
}

fn row(consumer: &Consumer) -> Vec<String> {
    let parked = consumer.parked();
    vec![
        consumer.id(),
        consumer.cursor.to_string(),
        consumer.lease.as_ref().map_or_else(|| "nobody".into(), |lease| lease.holder.clone()),
        (consumer.held.len() - parked).to_string(),
        parked.to_string(),
    ]
}
