//! `printmill orders`: list, show, watch, download.

use super::timeline;
use crate::cli::ServerArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::{Args, Subcommand};
use printmill_client::v1::{
    GetItemFileRequest, GetOrderRequest, ListOrderEventsRequest, ListOrdersRequest, Order,
    OrderEvent, OrderState,
};
use printmill_client::{Client, item_state, money, order_state, time};
use printmill_domain::problem::Code;
use std::path::PathBuf;

/// Orders.
#[derive(Debug, Subcommand)]
pub(crate) enum OrdersCommand {
    /// List orders, newest first.
    List(ListArgs),
    /// Show one order: its items, who makes them and why, and what happened so far.
    Show(OneArgs),
    /// Watch an order live until it is shipped or cancelled.
    Watch(OneArgs),
    /// Download an order's print-ready files, checked against their SHA-256.
    Download(DownloadArgs),
}

/// List orders, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill orders list
  printmill orders list --state paid --limit 10
  printmill orders list --json | jq -r '.[].id'")]
pub(crate) struct ListArgs {
    /// Only orders in this state: awaiting_payment, paid, in_production, partly_shipped, shipped,
    /// delivered, cancelled.
    #[arg(long, value_parser = state)]
    state: Option<OrderState>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

/// Show or watch one order.
#[derive(Debug, Args)]
#[command(after_help = "\
With --json, `show` prints the order, and `watch` one event per line.

Examples:
  printmill orders show ord_…
  printmill orders watch ord_…
  printmill orders watch ord_… --json | jq -r .kind")]
pub(crate) struct OneArgs {
    /// The order.
    #[arg(value_name = "ORDER")]
    order: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Download an order's print-ready files.
#[derive(Debug, Args)]
#[command(after_help = "\
A download that broke off goes on where it stopped.

Examples:
  printmill orders download ord_…
  printmill orders download ord_… --to proofs/")]
pub(crate) struct DownloadArgs {
    /// The order.
    #[arg(value_name = "ORDER")]
    order: String,
    /// The folder for the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

fn state(text: &str) -> Result<OrderState, String> {
    let name = format!("ORDER_STATE_{}", text.to_uppercase().replace(['-', ' '], "_"));
    let state = OrderState::from_str_name(&name);
    state.ok_or_else(|| "use paid, shipped or another state that --help names".into())
}

/// Runs one of them.
pub(crate) async fn run(command: &OrdersCommand, json: bool) -> Outcome {
    match command {
        OrdersCommand::List(args) => list(args, json).await,
        OrdersCommand::Show(args) => show(args, json).await,
        OrdersCommand::Watch(args) => watch(args, json).await,
        OrdersCommand::Download(args) => download(args, json).await,
    }
}

async fn list(args: &ListArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let (mut orders, mut page_token) = (vec![], String::new());
    while orders.len() < args.limit {
        let page_size = i32::try_from((args.limit - orders.len()).min(100)).unwrap_or(100);
        let state = args.state.unwrap_or_default().into();
        let page = client.list_orders(ListOrdersRequest { page_size, page_token, state }).await?;
        orders.extend(page.orders);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if json {
        return output::json(&orders);
    }
    if orders.is_empty() {
        output::line("no orders");
        output::next_steps(&[("printmill quote --help", "how to come by one")]);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = orders
        .iter()
        .map(|order| {
            vec![
                order.id.clone(),
                order_state(order.state),
                order.total.as_ref().map(money).unwrap_or_default(),
                time(order.create_time.as_ref()),
                order.reference.clone(),
            ]
        })
        .collect();
    output::line(output::table(&["ORDER", "STATE", "TOTAL", "PLACED", "REFERENCE"], &rows));
    Ok(())
}

async fn show(args: &OneArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let order = client.get_order(GetOrderRequest { order_id: args.order.clone() }).await?;
    if json {
        return output::json(&order);
    }
    show_order(&order);
    output::line("");
    for event in events(&client, &args.order).await? {
        output::line(timeline::line(&event));
    }
    Ok(())
}

/// Everything that happened to an order so far.
async fn events(client: &Client, order: &str) -> Outcome<Vec<OrderEvent>> {
    const PART: i32 = 100;
    let mut all: Vec<OrderEvent> = vec![];
    loop {
        let after_sequence = all.last().map_or(0, |event| event.sequence);
        let order_id = order.to_owned();
        let request = ListOrderEventsRequest { order_id, after_sequence, page_size: PART };
        let part = client.list_order_events(request).await?.events;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

fn show_order(order: &Order) {
    let total = order.total.as_ref().map(money).unwrap_or_default();
    output::line(format!("{}  {}  {total}", order.id, order_state(order.state)));
    if let Some(to) = &order.recipient {
        let place = format!("{} {}", to.postal_code, to.city);
        output::line(format!("to {}, {}, {}", to.name, place.trim(), to.country));
    }
    for item in &order.items {
        let line = item.line.clone().unwrap_or_default();
        let state = item_state(item.state);
        let what = format!("{} × {}, {} pages", line.quantity, line.sku, line.pages);
        output::line(format!("\n{}  {state}  {what}", item.id));
        if !item.route_reason.is_empty() {
            output::line(format!("  made by: {}", item.route_reason));
        }
        for candidate in &item.candidates {
            let why = match candidate.excluded.as_str() {
                "" => String::new(),
                why => format!(", {why}"),
            };
            output::line(format!("    {:>6} km  {}{why}", candidate.distance_km, candidate.name));
        }
        if let Some(issue) = &item.issue {
            output::line(format!("  needs attention: {} ({})", issue.message, issue.code));
            output::line(format!("  help: {}", issue.advice));
        }
        if !item.file_sha256.is_empty() {
            let size = output::bytes(u64::try_from(item.file_size).unwrap_or(0));
            output::line(format!("  file: {size}, SHA-256 {}", item.file_sha256));
        }
    }
    for shipment in &order.shipments {
        let tracking = shipment.tracking.clone().unwrap_or_default();
        output::line(format!(
            "\nparcel: {} {} {}",
            tracking.carrier, tracking.number, tracking.url
        ));
    }
}

async fn watch(args: &OneArgs, json: bool) -> Outcome {
    let mut watch = args.server.client()?.watch_order(&args.order, 0);
    let mut last = None;
    while let Some(event) = watch.next().await? {
        if json {
            output::json(&event)?;
        } else {
            output::line(timeline::line(&event));
        }
        last = Some(event.kind);
    }
    if last.as_deref() == Some("order.shipped") && !json {
        let download = format!("printmill orders download {}", args.order);
        output::next_steps(&[(&download, "fetch the print-ready file")]);
    }
    Ok(())
}

async fn download(args: &DownloadArgs, json: bool) -> Outcome {
    let client = args.server.client()?;
    let order = client.get_order(GetOrderRequest { order_id: args.order.clone() }).await?;
    let made = std::fs::create_dir_all(&args.to);
    made.map_err(|error| Failure::io("make the folder", &args.to, &error))?;
    let ready: Vec<_> = order.items.iter().filter(|item| !item.file_sha256.is_empty()).collect();
    if ready.is_empty() {
        return Err(Failure::new(
            Code::InvalidState,
            format!("{} has no print-ready file yet", order.id),
            "pay it and wait until it is rendered; `printmill orders watch` shows when",
        ));
    }
    let mut downloaded = vec![];
    for item in ready {
        let path = args.to.join(format!("{}.pdf", item.id));
        let (order_id, item_id) = (order.id.clone(), item.id.clone());
        let link = client.get_item_file(GetItemFileRequest { order_id, item_id }).await?;
        client.download(&link, &path, |_, _| {}).await?;
        if !json {
            output::line(format!("{}  SHA-256 {}", path.display(), item.file_sha256));
        }
        let (item, sha256) = (&item.id, &item.file_sha256);
        downloaded.push(serde_json::json!({ "item": item, "path": path, "sha256": sha256 }));
    }
    if json {
        output::json(&downloaded)?;
    }
    Ok(())
}
