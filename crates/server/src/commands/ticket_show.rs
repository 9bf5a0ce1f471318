//! `printmill tickets show`: one ticket, and who held it when.

use crate::cli::OperatorArgs;
use crate::failure::Outcome;
use crate::output;
use clap::Args;
use printmill_client::{time, v1};
use std::path::Path;

/// Show a ticket and its history: who held it, since when, and why it failed.
#[derive(Debug, Args)]
#[command(after_help = "\
The history has the last 16 attempts. What came of each: done, failed (tried again after a pause),
released (handed back unharmed), lost (its worker fell silent), cancelled.

Examples:
  printmill tickets show tkt_…
  printmill tickets show tkt_… --json | jq '.history[] | select(.end == \"lost\") | .holder'")]
pub(crate) struct ShowArgs {
    /// The ticket's id, as logs name it.
    #[arg(value_name = "TICKET")]
    id: String,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Shows it.
pub(crate) async fn run(args: &ShowArgs, file: Option<&Path>, json: bool) -> Outcome {
    let client = args.operator.client(file)?;
    let ticket = client.get_ticket(v1::GetTicketRequest { ticket_id: args.id.clone() }).await?;
    if json {
        return output::json(&ticket);
    }
    output::line(format!("{}  {} in {}", ticket.id, ticket.kind, ticket.lane));
    output::line(format!("  of {}, {}", ticket.merchant_id, state(&ticket)));
    let rows: Vec<Vec<String>> = ticket.history.iter().map(row).collect();
    if !rows.is_empty() {
        output::line("");
        let heads = ["ATTEMPT", "HELD BY", "SINCE", "UNTIL", "END", "WHY"];
        output::line(output::table(&heads, &rows));
    }
    Ok(())
}

fn state(ticket: &v1::Ticket) -> String {
    let mut text = ticket.state.clone();
    if ticket.state == "leased" {
        let percent = ticket.progress / 10;
        text = format!("held by {}, {percent} %", ticket.holder);
        if !ticket.message.is_empty() {
            text = format!("{text}: {}", ticket.message);
        }
        if ticket.cancelled {
            text.push_str(", to be cancelled");
        }
    }
    if ticket.state == "queued" {
        text = format!("{text}, due {}", time(ticket.due_time.as_ref()));
    }
    if ticket.deadline.is_some() {
        text = format!("{text}, deadline {}", time(ticket.deadline.as_ref()));
    }
    text
}

fn row(attempt: &v1::TicketAttempt) -> Vec<String> {
    let why = match attempt.code.as_str() {
        "" => String::new(),
        code => format!("{} ({code})", attempt.message),
    };
    vec![
        attempt.attempt.to_string(),
        attempt.holder.clone(),
        time(attempt.begin_time.as_ref()),
        time(attempt.end_time.as_ref()),
        if attempt.end.is_empty() { "still held".into() } else { attempt.end.clone() },
        why,
    ]
}
