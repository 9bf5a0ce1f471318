//! The store of files does not answer, then answers errors: work waits, and who needs only the
//! database is served.

use super::run::{LIMIT, Run};
use anyhow::{Context, Result, bail, ensure};
use printmill_client::ClientError;
use printmill_client::facility::FacilityNote;
use printmill_test_servers::proxy::Mode;
use printmill_testkit::log::Line;
use std::time::{Duration, Instant};

/// For answers that need the database only.
const SERVED_LIMIT: Duration = Duration::from_secs(10);

fn attempt_failed(line: &Line) -> bool {
    line.message() == "attempt failed"
}

pub(super) async fn answers_errors(run: &mut Run) -> Result<()> {
    let mut orders = run.orders_under_way().await?;
    let seen = run.deployment.seen();
    for mode in [Mode::Silent, Mode::Unavailable] {
        run.deployment.servers.store.set(mode);
        let served = run.served(SERVED_LIMIT).await?;
        println!("{mode:?}: orders are listed within {served:.1?}");
        orders.extend(run.place_orders(1).await?);
    }
    let (_, failed) = run.deployment.worker_that(&seen, LIMIT, attempt_failed).await?;
    ensure!(failed.value["code"] == "UNAVAILABLE", "the store is blamed: {}", failed.value);
    run.cannot_start("blobs").await?;
    run.served(SERVED_LIMIT).await?;
    run.deployment.servers.store.set(Mode::Passing);
    let back = Instant::now();
    run.all_shipped(&orders).await?;
    println!("shipped {:.1?} after its return", back.elapsed());
    Ok(())
}

/// A facility that cannot fetch a file waits with it, instead of failing the job.
pub(super) async fn fails_while_a_facility_fetches(run: &mut Run) -> Result<()> {
    run.close_facilities();
    let orders = run.place_orders(1).await?;
    let mut watch = run.shop.client.watch_order(&orders[0], 0);
    let rendered = async {
        while let Some(event) = watch.next().await? {
            if event.kind == "item.rendered" {
                return Ok(());
            }
        }
        bail!("it is shipped without a facility")
    };
    tokio::time::timeout(LIMIT, rendered).await.context("the file is not made")??;
    run.deployment.servers.store.set(Mode::Unavailable);
    run.open_facilities()?;
    let waits = async {
        loop {
            match run.told.recv().await.context("facilities run")? {
                FacilityNote::Waiting(error) => return Ok(error),
                FacilityNote::GivenUp { job, error } => bail!("{job} was given up: {error}"),
                _ => {}
            }
        }
    };
    let waits = tokio::time::timeout(LIMIT, waits).await.context("no facility waits")?;
    let error: ClientError = waits?;
    ensure!(error.code == "UNAVAILABLE", "{error}");
    run.deployment.servers.store.set(Mode::Passing);
    run.all_shipped(&orders).await
}
