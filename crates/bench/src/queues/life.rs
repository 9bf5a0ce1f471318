//! The work that both sides do, and a round of it.

use crate::table::Times;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// About what a message of ours carries.
pub(super) const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// How long a message is leased for.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How long to wait for a message.
pub(super) const WAIT: Duration = Duration::from_secs(1);

/// One of the two clients of a queue.
#[async_trait]
pub(super) trait Side: Send + Sync {
    /// Sends so many messages and waits until they are stored.
    async fn send(&self, count: usize) -> anyhow::Result<()>;

    /// Leases up to so many, waiting for the first, and settles each; how many it were.
    async fn settle(&self, count: usize) -> anyhow::Result<usize>;
}

/// Clients that send a batch and settle as many, again and again for so long. Messages in a
/// second, and the time from sending a batch to the end of it.
pub(super) async fn round(
    side: &Arc<dyn Side>,
    clients: usize,
    batch: usize,
    length: Duration,
) -> anyhow::Result<(f64, Times)> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let side = side.clone();
        running.spawn(async move {
            let mut times = Times::default();
            while begun.elapsed() < length {
                let sending = Instant::now();
                side.send(batch).await?;
                let mut left = batch;
                // Some of them may be other clients'; they get ours then.
                while left > 0 {
                    left -= side.settle(left).await?;
                }
                times.push(sending.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = running.join_next().await {
        all.extend(times??);
    }
    let rate = (all.len() * batch) as f64 / begun.elapsed().as_secs_f64();
    Ok((rate, all))
}
