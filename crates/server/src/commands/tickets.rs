//! `printmill tickets`: units of work that were given up, trying them again, and cancelling.

use super::ticket_show::{self, ShowArgs};
use crate::cli::OperatorArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::{Args, Subcommand};
use printmill_client::{Client, time, v1};
use printmill_domain::problem::Code;
use std::path::Path;

/// Units of work.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketsCommand {
    /// List tickets that were given up, and why.
    Dead(DeadArgs),
    /// Have tickets that were given up tried again.
    Replay(ReplayArgs),
    /// Cancel tickets that wait or run.
    Cancel(CancelArgs),
    /// Show one and its history: who held it, since when, and why it failed.
    Show(ShowArgs),
}

/// Which of the tickets that were given up.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Only of this lane, as in render.
    #[arg(long)]
    lane: Option<String>,
    /// Only of this kind, as in item.render.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this merchant.
    #[arg(long)]
    merchant: Option<String>,
}

/// List tickets that were given up.
#[derive(Debug, Args)]
#[command(after_help = "\
A ticket is given up after its last attempt allowed, or at once when trying again cannot help. It
stays until somebody has it tried again.

Examples:
  printmill tickets dead
  printmill tickets dead --kind item.render --json | jq -r '.[].message' | sort | uniq -c")]
pub(crate) struct DeadArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Have tickets that were given up tried again.
#[derive(Debug, Args)]
#[command(after_help = "\
What is tried again has all its attempts before it, as if it had never failed. Mend the cause first:
see `printmill tickets dead`.

Examples:
  printmill tickets replay tkt_…
  printmill tickets replay --all --kind payment.charge
  printmill tickets replay --all")]
pub(crate) struct ReplayArgs {
    /// The tickets.
    #[arg(value_name = "TICKET", required_unless_present = "all", conflicts_with = "all")]
    tickets: Vec<String>,
    /// All that the filter matches.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Cancel tickets that wait or run.
#[derive(Debug, Args)]
#[command(after_help = "\
One that waits ends at once. Of one that is in work its worker hears within 3 seconds, breaks off and
commits nothing; until then it shows as `to be cancelled`. What the work was for shows why it was not
done: an order's item gets an issue, an asset is rejected. A cancelled ticket is not tried again.

Examples:
  printmill tickets cancel tkt_…
  printmill tickets cancel tkt_… --reason 'the merchant called'
  printmill tickets show tkt_…            see that it is over")]
pub(crate) struct CancelArgs {
    /// The tickets.
    #[arg(value_name = "TICKET", required = true)]
    tickets: Vec<String>,
    /// Why, for those who look at the ticket or the order.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Runs one of them.
pub(crate) async fn run(command: &TicketsCommand, file: Option<&Path>, json: bool) -> Outcome {
    match command {
        TicketsCommand::Show(args) => ticket_show::run(args, file, json).await,
        TicketsCommand::Cancel(args) => cancel(args, &args.operator.client(file)?, json).await,
        TicketsCommand::Dead(args) => dead(args, &args.operator.client(file)?, json).await,
        TicketsCommand::Replay(args) => replay(args, &args.operator.client(file)?, json).await,
    }
}

fn filter(args: &FilterArgs) -> v1::DeadTicketFilter {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    v1::DeadTicketFilter {
        lane: text(&args.lane),
        kind: text(&args.kind),
        merchant_id: text(&args.merchant),
    }
}

async fn dead(args: &DeadArgs, client: &Client, json: bool) -> Outcome {
    let (mut tickets, mut page_token) = (vec![], String::new());
    while tickets.len() < args.limit {
        let page_size = i32::try_from((args.limit - tickets.len()).min(100)).unwrap_or(100);
        let filter = Some(filter(&args.filter));
        let request = v1::ListDeadTicketsRequest { filter, page_size, page_token };
        let page = client.list_dead_tickets(request).await?;
        tickets.extend(page.tickets);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if json {
        return output::json(&tickets);
    }
    if tickets.is_empty() {
        output::line("no ticket was given up");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = tickets
        .iter()
        .map(|ticket| {
            vec![
                ticket.id.clone(),
                ticket.kind.clone(),
                ticket.attempts.to_string(),
                time(ticket.update_time.as_ref()),
                ticket.code.clone(),
                ticket.message.clone(),
            ]
        })
        .collect();
    let heads = ["TICKET", "KIND", "ATTEMPTS", "GIVEN UP", "CODE", "WHY"];
    output::line(output::table(&heads, &rows));
    output::next_steps(&[("printmill tickets replay TICKET", "try one again")]);
    Ok(())
}

async fn replay(args: &ReplayArgs, client: &Client, json: bool) -> Outcome {
    let mut replayed = vec![];
    if args.all {
        loop {
            let filter = Some(filter(&args.filter));
            let request = v1::ReplayTicketsRequest { filter, ..Default::default() };
            let answer = client.replay_tickets(request).await?;
            replayed.extend(answer.ticket_ids);
            if !answer.more {
                break;
            }
        }
    } else {
        let FilterArgs { lane, kind, merchant } = &args.filter;
        if lane.is_some() || kind.is_some() || merchant.is_some() {
            let message = "a filter chooses among all tickets, but these are named".to_owned();
            let advice = "use --all with --lane, --kind and --merchant, or only name tickets";
            return Err(Failure::new(Code::InvalidArgument, message, advice));
        }
        for ticket_id in &args.tickets {
            let request = v1::ReplayTicketsRequest { ticket_id: ticket_id.clone(), filter: None };
            replayed.extend(client.replay_tickets(request).await?.ticket_ids);
        }
    }
    if json {
        return output::json(&replayed);
    }
    match replayed.len() {
        0 => output::line("nothing to try again"),
        count => {
            output::line(format!("{count} tried again"));
            output::next_steps(&[("printmill queues --watch", "see how it goes")]);
        }
    }
    Ok(())
}

async fn cancel(args: &CancelArgs, client: &Client, json: bool) -> Outcome {
    let mut cancelled = vec![];
    for ticket_id in &args.tickets {
        let reason = args.reason.clone().unwrap_or_default();
        let request = v1::CancelTicketRequest { ticket_id: ticket_id.clone(), reason };
        cancelled.push(client.cancel_ticket(request).await?);
    }
    if json {
        return output::json(&cancelled);
    }
    for ticket in &cancelled {
        output::line(match ticket.state.as_str() {
            "leased" => format!("{} will be broken off by {}", ticket.id, ticket.holder),
            _ => format!("{} is cancelled", ticket.id),
        });
    }
    output::next_steps(&[("printmill tickets show TICKET", "see when it is over")]);
    Ok(())
}
