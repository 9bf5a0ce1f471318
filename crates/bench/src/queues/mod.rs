//! What the queue's contract costs: each adapter against its backend's own client doing the same
//! work with the same durability, in alternating rounds on one server.
//!
//! A message's work is its whole life: it is sent and known to be stored, leased, and settled so
//! that the server knows. No engine, no database.

mod life;
mod ours;
mod raw_nats;
mod raw_rabbitmq;
mod raw_sql;
mod raw_sqs;

use crate::table::{self, Times};
use clap::{Args, ValueEnum};
use life::Side;
use printmill_test_servers::nats::Version;
use printmill_test_servers::{MariaDb, Moto, Nats, Postgres, RabbitMq};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these queues; may be given more than once.
    #[arg(long, value_enum)]
    only: Vec<Backend>,
    /// Length of a round in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds of each side.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: vec![], seconds: 3, rounds: 3 }
    }
}

/// The queues that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Sqlite,
    Postgres,
    Mariadb,
    Nats,
    Rabbitmq,
    Sqs,
}

/// How the work is asked for: clients at the same time, and messages in each call.
const SHAPES: [(usize, usize); 3] = [(1, 1), (16, 1), (1, 100)];

/// Both sides of one backend, and what keeps it running.
struct Pair {
    name: String,
    ours: Arc<dyn Side>,
    raw: Arc<dyn Side>,
    _server: Box<dyn Any>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let length = Duration::from_secs(options.seconds);
    let mut rows = vec![];
    for backend in Backend::value_variants() {
        if !options.only.is_empty() && !options.only.contains(backend) {
            continue;
        }
        for (clients, batch) in SHAPES {
            let Some(pair) = open(*backend, clients, batch).await? else { continue };
            rows.push(compare(&pair, clients, batch, length, options.rounds).await?);
        }
    }
    table::print(
        "A message's whole life, adapter against raw client (goal: ratio ≥ 0.85)",
        &["queue", "clients × batch", "adapter", "p50", "p99", "raw client", "p50", "p99", "ratio"],
        &rows,
    );
    Ok(())
}

async fn compare(
    pair: &Pair,
    clients: usize,
    batch: usize,
    length: Duration,
    rounds: usize,
) -> anyhow::Result<Vec<String>> {
    let warm = Duration::from_millis(500);
    for side in [&pair.ours, &pair.raw] {
        life::round(side, clients, batch, warm).await?;
    }
    let (mut ours, mut raw) = ((0.0, Times::default()), (0.0, Times::default()));
    for _ in 0..rounds {
        for (side, sum) in [(&pair.ours, &mut ours), (&pair.raw, &mut raw)] {
            let (rate, times) = life::round(side, clients, batch, length).await?;
            sum.0 += rate / rounds as f64;
            sum.1.extend(times);
        }
    }
    let mut row = vec![pair.name.clone(), format!("{clients} × {batch}")];
    let ratio = ours.0 / raw.0;
    for (rate, mut times) in [ours, raw] {
        row.push(format!("{rate:.0}/s"));
        row.extend([0.5, 0.99].map(|share| format!("{:.2} ms", times.quantile_ms(share))));
    }
    row.push(format!("{ratio:.2}"));
    println!("{}", row.join("  "));
    Ok(row)
}

/// Starts a backend and opens both sides; nothing if it is not installed.
async fn open(backend: Backend, clients: usize, batch: usize) -> anyhow::Result<Option<Pair>> {
    let pair =
        |name: &str, ours, raw, server| Pair { name: name.into(), ours, raw, _server: server };
    Ok(match backend {
        Backend::Sqlite => {
            let folder = tempfile::tempdir()?;
            let ours = ours::sql(&format!("sqlite://{}/queue.db", folder.path().display())).await?;
            let raw = raw_sql::Sqlite::open(&folder.path().join("raw.db")).await?;
            Some(pair("SQLite", ours, Arc::new(raw), Box::new(folder)))
        }
        Backend::Postgres => match Postgres::start(&[])? {
            None => None,
            Some(server) => {
                let ours = ours::sql(&server.address).await?;
                let raw = raw_sql::Postgres::open(&server.address, clients).await?;
                Some(pair("PostgreSQL", ours, Arc::new(raw), Box::new(server)))
            }
        },
        Backend::Mariadb => match MariaDb::start(&[])? {
            None => None,
            Some(server) => {
                let ours = ours::sql(&server.address).await?;
                let raw = raw_sql::MariaDb::open(&server.address, clients).await?;
                Some(pair("MariaDB", ours, Arc::new(raw), Box::new(server)))
            }
        },
        Backend::Nats => match Nats::start(Version::Newest)? {
            None => None,
            Some(server) => {
                let ours = ours::nats(&server.address).await?;
                let raw = raw_nats::JetStream::open(&server.address).await?;
                Some(pair("NATS JetStream", ours, Arc::new(raw), Box::new(server)))
            }
        },
        Backend::Rabbitmq => match RabbitMq::start()? {
            None => None,
            Some(server) => {
                let ours = ours::rabbitmq(&server.address).await?;
                let raw = raw_rabbitmq::Quorum::open(&server.address, clients * batch).await?;
                Some(pair("RabbitMQ", ours, Arc::new(raw), Box::new(server)))
            }
        },
        Backend::Sqs => match Moto::start()? {
            None => None,
            Some(server) => {
                let ours = ours::sqs(&server.address).await?;
                let raw = raw_sqs::Sqs::open(&server.address).await?;
                Some(pair("SQS (moto)", ours, Arc::new(raw), Box::new(server)))
            }
        },
    })
}
