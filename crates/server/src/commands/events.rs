//! `printmill events`: watch, list, count.

use super::timeline;
use crate::cli::ServerArgs;
use crate::failure::Outcome;
use crate::output;
use clap::{Args, Subcommand};
use console::style;
use printmill_client::v1::{
    Event, EventCount, KindCount, ListEventCountsRequest, ListEventsRequest, ListEventsResponse,
    OrderEvent, WatchEventsRequest,
};
use printmill_client::{Timestamp, time};
use serde_json::Value;

/// Events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Follow what happens, live, until it is stopped; or from an earlier place or time on.
    Watch(WatchArgs),
    /// List what happened, oldest first.
    List(ListArgs),
    /// Count what happened by day and kind, the latest day first.
    Counts(CountsArgs),
}

/// Follow what happens.
#[derive(Debug, Args)]
#[command(after_help = "\
It goes on by itself after the connection broke. With --json, it prints one message per line: an
event, or every 15 seconds a sign of life without one. The `seq` of each is where another watch
would go on, so a script that keeps the last one misses nothing:

  printmill events watch --json --after \"$(cat place)\" | while read -r line; do
    jq -r 'select(.event) | .event.kind' <<< \"$line\"; jq -r .seq <<< \"$line\" > place
  done

Examples:
  printmill events watch
  printmill events watch --kind order.placed --kind order.shipped
  printmill events watch --since 2026-01-31T08:00:00Z
  printmill events watch --of ord_… --after 0")]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin after this place in the log, a `seq`; 0 for all that is kept.
    #[arg(long, value_name = "SEQ", conflicts_with = "since")]
    after: Option<i64>,
    #[command(flatten)]
    server: ServerArgs,
}

/// List what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
With --json, it prints one object: `events`, the `seq` to go on after, and whether there is `more`.

Examples:
  printmill events list --since 2026-01-31T08:00:00Z
  printmill events list --of ord_…
  printmill events list --kind payment.declined --limit 1000 --json | jq -r '.events[].stream'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin after this place in the log, a `seq`; 0 for all that is kept.
    #[arg(long, value_name = "SEQ", conflicts_with = "since", default_value_t = 0)]
    after: i64,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

/// Count what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Days are in UTC. The counts are a second or so behind.

Examples:
  printmill events counts
  printmill events counts --days 7 --json | jq '.[] | {day, counts}'")]
pub(crate) struct CountsArgs {
    /// At most so many days.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(i32).range(1..=100))]
    days: i32,
    #[command(flatten)]
    server: ServerArgs,
}

/// Which events.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Only this kind, as in order.placed; may be given up to 20 times.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only the history of this asset, print, quote or order.
    #[arg(long = "of", value_name = "ID")]
    stream: Option<String>,
    /// Begin with the first event at this time or later, as in 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
}

/// Reads a point in time.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed = serde_json::from_value(Value::String(text.to_owned()));
    parsed.map_err(|_| "write it as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00".into())
}

/// Runs one of them.
pub(crate) async fn run(command: &EventsCommand, json: bool) -> Outcome {
    match command {
        EventsCommand::Watch(args) => watch(args, json).await,
        EventsCommand::List(args) => list(args, json).await,
        EventsCommand::Counts(args) => counts(args, json).await,
    }
}

async fn watch(args: &WatchArgs, json: bool) -> Outcome {
    let wanted = WatchEventsRequest {
        after_seq: args.after,
        since: args.filter.since,
        kinds: args.filter.kind.clone(),
        stream: args.filter.stream.clone().unwrap_or_default(),
    };
    let mut watch = args.server.client()?.watch_events(wanted);
    loop {
        let message = watch.next().await?;
        if json {
            output::json(&message)?;
        } else if let Some(event) = &message.event {
            output::line(line(event));
        }
    }
}

async fn list(args: &ListArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let mut all = ListEventsResponse::default();
    let mut wanted = ListEventsRequest {
        after_seq: args.after,
        since: args.filter.since,
        kinds: args.filter.kind.clone(),
        stream: args.filter.stream.clone().unwrap_or_default(),
        page_size: 0,
    };
    loop {
        wanted.page_size = i32::try_from((args.limit - all.events.len()).min(100)).unwrap_or(100);
        if wanted.page_size == 0 {
            break;
        }
        let page = client.list_events(wanted.clone()).await?;
        (wanted.after_seq, wanted.since) = (page.seq, None);
        all.events.extend(page.events);
        (all.seq, all.more) = (page.seq, page.more);
        if !all.more {
            break;
        }
    }
    if json {
        return output::json(&all);
    }
    let mut day = String::new();
    for event in &all.events {
        let on = time(event.time.as_ref()).chars().take(10).collect();
        if on != day {
            output::line(style(&on).bold());
            day = on;
        }
        output::line(line(event));
    }
    if all.events.is_empty() {
        output::line("no events");
    }
    if all.more {
        let next = format!("printmill events list --after {}", all.seq);
        output::next_steps(&[(&next, "list what follows")]);
    }
    Ok(())
}

async fn counts(args: &CountsArgs, json: bool) -> Outcome {
    let wanted = ListEventCountsRequest { page_size: args.days, page_token: String::new() };
    let found = args.server.client()?.list_event_counts(wanted).await?;
    if json {
        return output::json(&found.days);
    }
    if found.days.is_empty() {
        output::line("no events have been counted");
        return Ok(());
    }
    let of_day = |day: &EventCount| -> Vec<Vec<String>> {
        let counts = day.counts.iter();
        let row = |it: &KindCount| vec![day.day.clone(), it.kind.clone(), it.count.to_string()];
        counts.map(row).collect()
    };
    let rows: Vec<Vec<String>> = found.days.iter().flat_map(of_day).collect();
    output::line(output::table(&["DAY", "KIND", "COUNT"], &rows));
    Ok(())
}

/// An event as a line: what the timeline of an order says of it, and whose history it is in.
fn line(event: &Event) -> String {
    let of_order = OrderEvent {
        id: event.id.clone(),
        sequence: event.sequence,
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        data: event.data.clone(),
        time: event.time,
    };
    format!("{}  {}", timeline::line(&of_order), style(&event.stream).dim())
}
