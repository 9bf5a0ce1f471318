//! A store that answers errors for a while, and connections that break.

use super::{Claims, Store, content, expect_all_in_place, range};
use crate::samples::merchant;
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use futures::TryStreamExt;
use printmill_backend::Blobs;
use printmill_backend::error::{BackendError, Fault};

pub(super) fn cases(suite: &mut Suite<Blobs>, claims: &Claims) {
    cases!(suite, "outages", if claims.disturbs, [
        a_store_that_is_away_is_unavailable,
        nothing_is_lost_or_half_done_by_an_outage,
        a_download_goes_on_where_its_connection_broke,
    ]);
}

fn expect_unavailable<T: std::fmt::Debug>(answer: Result<T, BackendError>) -> anyhow::Result<()> {
    let error = answer.err().context("the store is away, but there is an answer")?;
    ensure!(error.fault == Fault::Unavailable && error.retryable(), "{error:?}");
    Ok(())
}

async fn a_store_that_is_away_is_unavailable(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, disturb) = (subject.handle()?, merchant(), subject.disturbance()?);
    let stored = blobs.put(merchant, content(1000)).await?;
    disturb(true);
    expect_unavailable(blobs.put(merchant, content(2000)).await)?;
    expect_unavailable(blobs.read(merchant, &stored).await)?;
    expect_unavailable(range(&blobs, merchant, &stored, 0..10).await)?;
    expect_unavailable(blobs.size(merchant, &stored.sha256).await)?;
    expect_unavailable(blobs.delete(merchant, &stored.sha256).await)?;
    expect_unavailable(blobs.probe().await)?;
    disturb(false);
    ensure!(blobs.read(merchant, &stored).await? == content(1000), "other bytes came back");
    blobs.probe().await?;
    Ok(())
}

async fn nothing_is_lost_or_half_done_by_an_outage(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, disturb) = (subject.handle()?, merchant(), subject.disturbance()?);
    let before = blobs.put(merchant, content(1000)).await?;
    // The store goes away in the middle of an upload of several parts.
    let part = blobs.caps().part_bytes;
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(content(2 * part + 1))]);
    let away = disturb.clone();
    let away = futures::stream::once(async move {
        away(true);
        Ok(content(part))
    });
    let stream = futures::StreamExt::chain(begun, away);
    expect_unavailable(blobs.put_stream(merchant, Box::pin(stream), u64::MAX).await)?;
    disturb(false);
    expect_all_in_place(&blobs).await?;
    ensure!(blobs.read(merchant, &before).await? == content(1000), "other bytes came back");
    let again = blobs.put(merchant, content(3 * part)).await?;
    ensure!(blobs.read(merchant, &again).await? == content(3 * part), "other bytes came back");
    Ok(())
}

async fn a_download_goes_on_where_its_connection_broke(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, disturb) = (subject.handle()?, merchant(), subject.disturbance()?);
    let bytes = content(20_000_000);
    let stored = blobs.put(merchant, bytes.clone()).await?;
    let mut parts = blobs.stream(merchant, &stored.sha256, 0..stored.size).await?;
    let mut received = vec![];
    let mut breaks = 0;
    while let Some(part) = parts.try_next().await? {
        received.extend_from_slice(&part);
        if received.len() > (breaks + 1) * 6_000_000 {
            disturb(false);
            breaks += 1;
        }
    }
    ensure!(breaks == 3, "it was broken {breaks} times");
    ensure!(received == bytes, "{} other bytes came", received.len());
    Ok(())
}
