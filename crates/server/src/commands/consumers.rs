//! `printmill consumers`: who reads the event log.

use super::events::moment;
use crate::cli::OperatorArgs;
use crate::failure::Outcome;
use crate::output;
use clap::{Args, Subcommand};
use printmill_client::{Timestamp, v1};
use std::path::Path;

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
  printmill consumers list --json | jq '.[] | {name, cursor, waiting}'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    operator: OperatorArgs,
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
    #[arg(long, value_name = "TIME", group = "from", value_parser = moment)]
    since: Option<Timestamp>,
    #[command(flatten)]
    operator: OperatorArgs,
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
    operator: OperatorArgs,
}

/// Runs one of them.
pub(crate) async fn run(command: &ConsumersCommand, file: Option<&Path>, json: bool) -> Outcome {
    let shown: Vec<v1::Consumer> = match command {
        ConsumersCommand::List(args) => {
            let client = args.operator.client(file)?;
            client.list_consumers(v1::ListConsumersRequest {}).await?.consumers
        }
        ConsumersCommand::Replay(args) => {
            let after_seq = args.after.map(|place| i64::try_from(place).unwrap_or(i64::MAX));
            let name = args.name.clone();
            let request = v1::ReplayConsumerRequest { name, after_seq, since: args.since };
            args.operator.client(file)?.replay_consumer(request).await?.consumers
        }
        ConsumersCommand::Resume(args) => {
            let (name, stream) = (args.name.clone(), args.stream.clone());
            let request = v1::ResumeConsumerRequest { name, stream, skip: args.skip };
            vec![args.operator.client(file)?.resume_consumer(request).await?]
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
    for waiting in shown.iter().flat_map(|consumer| &consumer.waiting) {
        let v1::WaitingStream { stream, seq, problem, .. } = waiting;
        let problem = problem.clone().unwrap_or_default();
        let (message, code) = (problem.message, problem.code);
        output::line(format!("\n{stream}  waits at {seq}: {message} ({code})"));
        output::line(format!("  help: {}", problem.advice));
    }
    Ok(())
}

fn row(consumer: &v1::Consumer) -> Vec<String> {
    let parked = consumer.waiting.iter().filter(|waiting| waiting.due_time.is_none()).count();
    vec![
        format!("{}.{}-of-{}", consumer.name, consumer.shard, consumer.shard_count),
        consumer.cursor.to_string(),
        if consumer.holder.is_empty() { "nobody".into() } else { consumer.holder.clone() },
        (consumer.waiting.len() - parked).to_string(),
        parked.to_string(),
    ]
}
