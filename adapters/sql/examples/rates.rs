//! Measures commits per second: each with a record, two events, a ticket and a request.
//!
//! `cargo run --release -p printmill-adapter-sql --example rates -- [clients] [seconds] [url]`

use anyhow::{Context, Result};
use printmill_adapter_sql::SqlDatabase;
use printmill_backend::change::{Change, Expected, Record, RecordWrite, RequestRecord};
use printmill_backend::{Database, TicketGuard, TicketWrite};
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{Id, MerchantId, OrderId, TicketId, derive};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

fn change(merchant: MerchantId, document: &str) -> Change {
    let now = chrono::Utc::now();
    let order = OrderId::from_uuid(Uuid::now_v7());
    let id = order.to_string();
    let ticket: TicketId = derive(order.uuid(), "ticket", 1);
    let payload = json!({ "order": id });
    let ticket = Ticket::new(ticket, merchant, Lane::express(), "payment.charge", payload, now);
    let event = |sequence: u64, kind: &str| EventDraft {
        stream: id.clone(),
        sequence,
        kind: kind.into(),
        subject: id.clone(),
        data: json!({ "total": { "amount": 1999, "currency": "EUR" } }),
    };
    let mut change = Change::new(merchant, now);
    change.events = vec![event(1, "order.placed"), event(2, "payment.requested")];
    change.tickets = vec![TicketWrite { ticket, guard: TicketGuard::New }];
    change.request = Some(RequestRecord {
        id: Uuid::now_v7().to_string(),
        fingerprint: "0".repeat(64),
        outcome: id.clone(),
        at: now,
    });
    let record = Record {
        kind: Kind::Order,
        id,
        merchant,
        facility: None,
        version: 1,
        state: "placed".into(),
        created_at: now,
        updated_at: now,
        document: document.into(),
    };
    change.records = vec![RecordWrite { record, expected: Expected::New }];
    change
}

async fn client(database: Arc<SqlDatabase>, until: Instant) -> Result<Vec<Duration>> {
    let merchant = MerchantId::from_uuid(Uuid::now_v7());
    let document = json!({ "lines": vec![json!({ "print": "prt_0", "copies": 2 }); 20] });
    let document = document.to_string();
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let change = change(merchant, &document);
        let started = Instant::now();
        database.commit(change).await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map(|(_, after)| after).unwrap_or_default();
    let ticks: Vec<f64> = after.split(' ').skip(11).take(2).flat_map(str::parse).collect();
    ticks.iter().sum::<f64>() / 100.0
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let clients: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let here = format!("sqlite://{}/rates.db", directory.path().display());
    let url = arguments.next().unwrap_or(here);
    let database = Arc::new(SqlDatabase::open(&url).await?);
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let until = started + Duration::from_secs(seconds);
    let running: Vec<_> =
        (0..clients).map(|_| tokio::spawn(client(database.clone(), until))).collect();
    let mut latencies = Vec::new();
    for task in running {
        latencies.extend(task.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    latencies.sort_unstable();
    let count = latencies.len();
    let quantile = |part: f64| latencies.get((count as f64 * part) as usize).copied();
    let batches = *database.commits().borrow();
    anyhow::ensure!(database.head().await? >= 2 * count as u64, "events are missing");
    println!(
        "{clients} clients: {:.0} changes/s, at least {:.1} per batch, p50 {:?}, p99 {:?}, max {:?}, \
         {:.0} µs of CPU per change",
        count as f64 / elapsed,
        count as f64 / batches as f64,
        quantile(0.5).context("nothing committed")?,
        quantile(0.99).context("nothing committed")?,
        latencies.last().context("nothing committed")?,
        cpu / count as f64 * 1e6,
    );
    Ok(())
}
