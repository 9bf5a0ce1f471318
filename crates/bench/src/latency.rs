//! From an order being accepted to its first handler starting, at a steady rate.
//!
//! Orders are paid by a method that the sandbox declines, so that each makes one ticket and no
//! file. An order is accepted when its client has the answer; a handler starts when the node logs
//! so. Both are times of this machine's clock. A handler that starts before the client has its
//! answer counts as 0. The node also logs how long each ticket waited since its order was decided,
//! which includes the commit.

use crate::ground::{Ground, On};
use crate::intake::prepare;
use crate::table::{self, Times};
use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use printmill_client::Client;
use printmill_domain::ids::{Id, OrderId, PaymentId, TicketId, derive};
use printmill_domain::payment::CHARGE;
use printmill_testkit::Node;
use printmill_testkit::log::Line;
use printmill_testkit::shop::order_request;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Orders in a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// What the node runs on.
    #[arg(long, value_enum, default_value = "local")]
    on: On,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: 500, seconds: 20, on: On::Local }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let ground = Ground::open(options.on)?;
    let place = &ground.place;
    let (key, print) = prepare(place).await?;
    let node = Node::up(place).await?;
    let clients: Vec<Client> =
        (0..8).map(|_| Client::connect(&place.address(), Some(&key))).collect::<Result<_, _>>()?;
    let mut request = order_request(&print.id, "latency");
    request.payment_method = "sandbox-declined".into();
    let orders = options.rate * options.seconds;
    let mut answers = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / options.rate);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for number in 0..orders {
        tick.tick().await;
        let (client, request) = (clients[number as usize % 8].clone(), request.clone());
        answers.spawn(async move {
            let begun = Instant::now();
            let order = client.create_order(request).await?;
            anyhow::Ok((order.id, Utc::now(), begun.elapsed()))
        });
    }
    let mut answered = Times::default();
    let mut accepted_at = HashMap::new();
    while let Some(answer) = answers.join_next().await {
        let (order, at, took) = answer??;
        accepted_at.insert(charge_of(&order)?, at);
        answered.push(took);
    }
    let starts = starts(&node, orders as usize).await?;
    let (mut accepted, mut waited) = (Times::default(), Times::default());
    for start in starts {
        let at = accepted_at.get(&start.ticket).context("a charge of one of our orders")?;
        accepted.push((start.at - *at).to_std().unwrap_or_default());
        waited.push(start.waited);
    }
    let row = |name: &str, times: &mut Times, goal: &str| {
        let [p50, p99] = [0.5, 0.99].map(|share| format!("{:.1} ms", times.quantile_ms(share)));
        vec![name.to_owned(), p50, p99, goal.to_owned()]
    };
    table::print(
        &format!(
            "At {} orders/s for {} s, all-in-one node on {}",
            options.rate,
            options.seconds,
            options.on.name()
        ),
        &["what", "p50", "p99", "goal"],
        &[
            row("accepted to handler started", &mut accepted, "p50 ≤ 5 ms, p99 ≤ 25 ms"),
            row("decided to handler started, commit included", &mut waited, ""),
            row("order answered", &mut answered, ""),
        ],
    );
    node.stop().await?;
    Ok(())
}

/// A charge that a handler began.
struct Start {
    ticket: String,
    at: DateTime<Utc>,
    waited: Duration,
}

/// The ticket of the charge of an order's first payment.
fn charge_of(order: &str) -> anyhow::Result<String> {
    let order = OrderId::parse(order)?;
    let payment: PaymentId = derive(order.uuid(), "payment", 1);
    let ticket: TicketId = derive(payment.uuid(), CHARGE, 0);
    Ok(ticket.to_string())
}

/// When the charges of so many orders began, from the node's log.
async fn starts(node: &Node, orders: usize) -> anyhow::Result<Vec<Start>> {
    let limit = Duration::from_secs(60);
    let (mut starts, mut from) = (vec![], 0);
    while starts.len() < orders {
        if node.log.wait_for(from, limit, is_charge).await.is_none() {
            anyhow::bail!("only {} of {orders} handlers started", starts.len());
        }
        let fresh = node.log.since(from);
        from += fresh.len();
        for line in fresh.iter().filter(|line| is_charge(line)) {
            starts.push(start(line)?);
        }
    }
    Ok(starts)
}

fn start(line: &Line) -> anyhow::Result<Start> {
    let text = |name: &str| {
        let found = line.field(name).and_then(serde_json::Value::as_str);
        found.with_context(|| format!("the log has '{name}'"))
    };
    let micros = line.field("waited_us").and_then(serde_json::Value::as_u64);
    Ok(Start {
        ticket: text("id")?.to_owned(),
        at: text("timestamp")?.parse()?,
        waited: Duration::from_micros(micros.context("the log has 'waited_us'")?),
    })
}

fn is_charge(line: &Line) -> bool {
    line.message() == "ticket started" && line.field("kind").is_some_and(|kind| kind == CHARGE)
}
