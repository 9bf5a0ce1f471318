//! What statistics cost with very many tickets parked, and what they cost the database.

use crate::table::{self, Times};
use clap::Args;
use printmill_adapter_sql::SqlDatabase;
use printmill_backend::{Change, Clock, Database, SystemClock, TicketGuard, TicketWrite, fresh};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use printmill_engine::operations::Operations;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Tickets that are parked.
    #[arg(long, default_value_t = 1_000_000)]
    tickets: usize,
    /// Merchants whose they are.
    #[arg(long, default_value_t = 200)]
    merchants: usize,
    /// How often to ask.
    #[arg(long, default_value_t = 2_000)]
    questions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tickets: 1_000_000, merchants: 200, questions: 2_000 }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let url = format!("sqlite://{}", place.path().join("main.db").display());
    let database: Arc<dyn Database> = Arc::new(SqlDatabase::open(&url).await?);
    let operations = Operations::new(database.clone(), Arc::new(SystemClock));
    let now = SystemClock.now();
    let merchants: Vec<MerchantId> = (0..options.merchants).map(|_| fresh::id(now)).collect();
    let mut rows = vec![];
    let mut parked = 0;
    for goal in [options.tickets / 1_000, options.tickets] {
        while parked < goal {
            let count = 2_000.min(goal - parked);
            database.commit(park(&merchants, parked, count)).await?;
            parked += count;
        }
        for (what, by_merchant) in [("by lane", false), ("by lane and merchant", true)] {
            let mut times = Times::default();
            for _ in 0..options.questions {
                let begun = Instant::now();
                let lanes = operations.lanes(by_merchant).await?;
                times.push(begun.elapsed());
                anyhow::ensure!(!lanes.is_empty(), "there is work");
            }
            let quantile = |times: &mut Times, share| format!("{:.2} ms", times.quantile_ms(share));
            rows.push(vec![
                parked.to_string(),
                what.to_owned(),
                quantile(&mut times, 0.5),
                quantile(&mut times, 0.99),
            ]);
        }
    }
    table::print(
        "Statistics: ready, delayed, in flight, dead and oldest (goal: p99 ≤ 5 ms)",
        &["tickets parked", "asked", "p50", "p99"],
        &rows,
    );
    Ok(())
}

/// Tickets of several lanes; half of them wait for their turn, half for their time.
fn park(merchants: &[MerchantId], from: usize, count: usize) -> Change {
    let now = SystemClock.now();
    let mut change = Change::new(merchants[0], now);
    for number in from..from + count {
        let id: TicketId = fresh::id(now);
        let lanes = [Lane::express(), Lane::render(), Lane::inspect()];
        let (lane, merchant) = (lanes[number % 3].clone(), merchants[number % merchants.len()]);
        let ticket = Ticket::new(id, merchant, lane, "bench.parked", json!({}), now);
        let later = now + chrono::TimeDelta::days(1);
        let ticket = if number % 2 == 0 { ticket } else { ticket.due(later) };
        change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    }
    change
}
