//! The second peer of the jobs: the same tickets through the same database and queue, driven by
//! hand. No relay, no fairness, no heartbeats, no handlers: what the adapters themselves can do.

use anyhow::Context;
use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::queue::{Delivery, Message, Queue};
use printmill_backend::{Change, Clock, Database, SystemClock, fresh};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use printmill_engine::LEASE;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Messages that are sent at once.
const SENT_AT_ONCE: usize = 256;

/// Does these tickets, which are committed already, with so many workers, each of which takes
/// `batch` at once; how long it took.
pub(crate) async fn round(
    path: &Path,
    database: Arc<SqlDatabase>,
    tickets: Vec<Ticket>,
    workers: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let url = format!("sqlite://{}", path.join("raw-queue.db").display());
    let queue = Arc::new(SqlQueue::open(&url).await?);
    let left = Arc::new(AtomicUsize::new(tickets.len()));
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (database, queue, left) = (database.clone(), queue.clone(), left.clone());
        running.spawn(async move {
            while left.load(Ordering::Relaxed) > 0 {
                let count = u16::try_from(batch)?;
                let wait = Duration::from_millis(50);
                let found = queue.lease(&Lane::express(), count, LEASE, wait).await?;
                let done = work(&database, &queue, found).await?;
                left.fetch_sub(done, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    for part in tickets.chunks(SENT_AT_ONCE) {
        let message =
            |ticket: &Ticket| Message { ticket: ticket.id, trace: None, delay: Duration::ZERO };
        let messages: Vec<Message> = part.iter().map(message).collect();
        for sent in queue.send(&Lane::express(), &messages).await {
            sent?;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}

/// Claims and completes what was delivered; how many it were.
async fn work(
    database: &SqlDatabase,
    queue: &SqlQueue,
    found: Vec<Delivery>,
) -> anyhow::Result<usize> {
    let ids: Vec<_> = found.iter().map(|delivery| delivery.ticket).collect();
    let tickets = database.tickets(&ids).await?;
    let tickets: HashMap<_, _> = tickets.into_iter().map(|ticket| (ticket.id, ticket)).collect();
    let works = found.iter().map(async |delivery| {
        let ticket = tickets.get(&delivery.ticket).context("it was committed")?;
        let now = SystemClock.now();
        let lease = chrono::TimeDelta::from_std(LEASE)?;
        let claimed = ticket.claim("by hand", fresh::token(), lease, now)?;
        let change = Change::new(ticket.merchant, now).ticket(claimed.clone(), ticket.version);
        database.commit(change).await?;
        let fence = claimed.fence().context("it is held")?;
        let now = SystemClock.now();
        let done = claimed.complete(&fence, now)?;
        database.commit(Change::new(ticket.merchant, now).held(done, &fence)).await?;
        queue.ack(&delivery.receipt).await?;
        anyhow::Ok(())
    });
    futures::future::try_join_all(works).await?;
    Ok(found.len())
}
