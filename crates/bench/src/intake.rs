//! Durable intake: orders over gRPC, each with its events and ticket in one commit, against raw
//! group-committed inserts of the same rows, in alternating rounds.

use crate::ground::{Ground, On};
use crate::table::{self, Times};
use crate::{raw_pgbench, raw_sqlite};
use clap::Args;
use printmill_client::Client;
use printmill_client::v1::Print;
use printmill_testkit::profile::Database;
use printmill_testkit::shop::order_request;
use printmill_testkit::{Node, Place, Shop};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Clients, each with a connection of its own and one order under way.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Length of a round in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds of each side.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The roles of the node that takes the orders.
    #[arg(long, default_value = "api")]
    roles: String,
    /// What it runs on.
    #[arg(long, value_enum, default_value = "local")]
    on: On,
}

impl Default for Options {
    fn default() -> Self {
        Self { clients: 64, seconds: 5, rounds: 3, roles: "api".into(), on: On::Local }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let ground = Ground::open(options.on)?;
    let place = &ground.place;
    let (key, print) = prepare(place).await?;
    let node = Node::serve(place, &options.roles).await?;
    let clients: Vec<Client> = (0..options.clients)
        .map(|_| Client::connect(&place.address(), Some(&key)))
        .collect::<Result<_, _>>()?;
    round(&clients, &print, Duration::from_secs(1)).await?;
    let length = Duration::from_secs(options.seconds);
    let (mut ours, mut raw) = (Times::default(), Times::default());
    let (mut our_rates, mut raw_rates) = (vec![], vec![]);
    for _ in 0..options.rounds {
        let times = round(&clients, &print, length).await?;
        our_rates.push(times.len() as f64 / length.as_secs_f64());
        ours.extend(times);
        let times = peer(&ground, options.clients, length).await?;
        raw_rates.push(times.len() as f64 / length.as_secs_f64());
        raw.extend(times);
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (our_rate, raw_rate) = (mean(&our_rates), mean(&raw_rates));
    let row = |name: &str, rate: f64, times: &mut Times| {
        let [p50, p99] = [0.5, 0.99].map(|share| format!("{:.1} ms", times.quantile_ms(share)));
        vec![name.to_owned(), format!("{rate:.0}"), p50, p99]
    };
    let (goal, peer) = match options.on {
        On::Local => ("3,000", "raw group-committed inserts, in process"),
        _ => ("2,000", "pgbench, the same rows"),
    };
    let title = format!(
        "Durable intake, {} clients, roles {}, {} (goal: ≥ {goal}/s, p99 ≤ 50 ms)",
        options.clients,
        options.roles,
        options.on.name()
    );
    table::print(
        &title,
        &["side", "orders/s", "p50", "p99"],
        &[
            row("Printmill over gRPC", our_rate, &mut ours),
            row(peer, raw_rate, &mut raw),
            vec![
                "ratio".into(),
                format!("{:.2}", our_rate / raw_rate),
                String::new(),
                String::new(),
            ],
        ],
    );
    let (resident, _) = node.memory_kib()?;
    println!("Resident memory of the node afterwards: {:.1} MiB\n", resident as f64 / 1024.0);
    Ok(())
}

/// A round of the peer, on the same machine and, where there is one, the same server.
async fn peer(ground: &Ground, clients: usize, length: Duration) -> anyhow::Result<Times> {
    match &ground.servers.database {
        Database::File => raw_sqlite::round(&ground.place.beside("raw.db"), clients, length).await,
        Database::Postgres(server) => {
            let address = server.address.clone();
            tokio::task::spawn_blocking(move || raw_pgbench::round(&address, clients, length))
                .await?
        }
        Database::MariaDb(_) => anyhow::bail!("there is no peer of the intake on MariaDB yet"),
    }
}

/// A merchant with a print that can be ordered.
pub(crate) async fn prepare(place: &Place) -> anyhow::Result<(String, Print)> {
    let node = Node::up(place).await?;
    let key = place.merchant_key("Bench")?;
    let shop = Shop::new(&place.address(), &key)?;
    let photos = shop.upload_photos(&place.beside("photos"), 2).await?;
    let print = shop.photobook(photos, 24).await?;
    node.stop().await?;
    Ok((key, print))
}

async fn round(clients: &[Client], print: &Print, length: Duration) -> anyhow::Result<Times> {
    let until = Instant::now() + length;
    let mut running = JoinSet::new();
    for (number, client) in clients.iter().cloned().enumerate() {
        let request = order_request(&print.id, &format!("client {number}"));
        running.spawn(async move {
            let mut times = Times::default();
            while Instant::now() < until {
                let begun = Instant::now();
                client.create_order(request.clone()).await?;
                times.push(begun.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = running.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}
