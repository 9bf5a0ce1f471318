//! The database dies in mid-run and recovers: it is used again soon, and nothing is lost.

use super::run::Run;
use anyhow::Result;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// From the database's return to answers that need it.
const SERVED_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn restarts(run: &mut Run) -> Result<()> {
    let orders = run.orders_under_way().await?;
    block_in_place(|| run.deployment.servers.database.stop())?;
    run.cannot_start("database").await?;
    block_in_place(|| run.deployment.servers.database.resume())?;
    let back = Instant::now();
    let served = run.served(SERVED_LIMIT).await?;
    run.all_shipped(&orders).await?;
    println!("served {served:.1?} and shipped {:.1?} after its return", back.elapsed());
    Ok(())
}
