//! From an order being accepted to its first handler starting, at a steady rate.
//!
//! Orders are paid by a method that the sandbox declines, so that each makes one ticket and no
//! file. The node logs how long each ticket waited since its order was decided, which is before
//! the order was committed: the measured time includes the commit.

use crate::intake::prepare;
use crate::table::{self, Times};
use clap::Args;
use printmill_client::Client;
use printmill_testkit::log::Line;
use printmill_testkit::shop::order_request;
use printmill_testkit::{Node, Place};
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
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: 500, seconds: 20 }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let place = Place::new()?;
    let (key, print) = prepare(&place).await?;
    let node = Node::up(&place).await?;
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
            client.create_order(request).await.map(|_| begun.elapsed())
        });
    }
    let mut answered = Times::default();
    while let Some(answer) = answers.join_next().await {
        answered.push(answer??);
    }
    let mut waited = waits(&node, orders as usize).await?;
    let row = |name: &str, times: &mut Times, goal: &str| {
        let [p50, p99] = [0.5, 0.99].map(|share| format!("{:.1} ms", times.quantile_ms(share)));
        vec![name.to_owned(), p50, p99, goal.to_owned()]
    };
    table::print(
        &format!("At {} orders/s for {} s, all-in-one node", options.rate, options.seconds),
        &["what", "p50", "p99", "goal"],
        &[
            row("decided to handler started", &mut waited, "p50 ≤ 5 ms, p99 ≤ 25 ms"),
            row("order answered", &mut answered, ""),
        ],
    );
    node.stop().await?;
    Ok(())
}

/// How long the charges of so many orders waited, from the node's log.
async fn waits(node: &Node, orders: usize) -> anyhow::Result<Times> {
    let limit = Duration::from_secs(60);
    let mut waited = Times::default();
    let mut from = 0;
    while waited.len() < orders {
        if node.log.wait_for(from, limit, is_charge).await.is_none() {
            anyhow::bail!("only {} of {orders} handlers started", waited.len());
        }
        let fresh = node.log.since(from);
        from += fresh.len();
        for line in fresh.iter().filter(|line| is_charge(line)) {
            let micros = line.field("waited_us").and_then(serde_json::Value::as_u64);
            waited.push(Duration::from_micros(micros.unwrap_or(0)));
        }
    }
    Ok(waited)
}

fn is_charge(line: &Line) -> bool {
    line.message() == "ticket started"
        && line.field("kind").is_some_and(|kind| kind == "payment.charge")
}
