//! The broker goes away in mid-run, and comes back with everything or with nothing.

use super::run::Run;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// From the broker's return to each open ticket being in work.
const REQUEUED_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn restarts(run: &mut Run) -> Result<()> {
    goes_away(run, false).await
}

pub(super) async fn is_wiped(run: &mut Run) -> Result<()> {
    goes_away(run, true).await
}

async fn goes_away(run: &mut Run, wiped: bool) -> Result<()> {
    let mut orders = run.orders_under_way().await?;
    let away = Instant::now();
    block_in_place(|| run.deployment.servers.broker.stop())?;
    let waiting = run.waiting_tickets().await?;
    ensure!(waiting > 0, "the broker holds nothing that it could lose");
    // Orders are taken all the while.
    orders.extend(run.place_orders(2).await?);
    run.cannot_start("queue").await?;
    if wiped {
        block_in_place(|| run.deployment.servers.broker.wipe())?;
    }
    let stood = run.histories(&orders).await?;
    block_in_place(|| run.deployment.servers.broker.resume())?;
    let (away, back) = (away.elapsed(), Instant::now());
    run.all_go_on(&orders, &stood, REQUEUED_LIMIT).await?;
    let on = back.elapsed();
    run.all_shipped(&orders).await?;
    println!(
        "{waiting} tickets waited in it; away for {away:.1?}, all went on {on:.1?} and was shipped {:.1?} later",
        back.elapsed()
    );
    Ok(())
}
