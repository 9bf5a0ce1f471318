//! A record is written only if the stored version is the expected one.

use super::{Store, expect_stale};
use crate::samples::{id, merchant, new, next, read, record, records};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use printmill_backend::{CommitError, Database};
use printmill_domain::ids::OrderId;
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "versions",
        [
            the_expected_version_is_replaced,
            a_new_record_needs_a_free_id,
            another_version_is_stale,
            what_is_not_there_is_stale,
            a_new_record_is_not_written_over_another_merchants,
            of_concurrent_writes_exactly_one_wins,
            no_concurrent_update_is_lost,
        ]
    );
}

async fn the_expected_version_is_replaced(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let first = record(merchant, &order);
    let mut second = next(&first, 1, "second");
    second.record.state = "accepted".into();
    database.commit(records(merchant, vec![new(first)])).await?;
    database.commit(records(merchant, vec![second.clone()])).await?;
    let found = read(&*database, merchant, &order).await?;
    ensure!(found == Some(second.record), "{found:?}");
    Ok(())
}

async fn a_new_record_needs_a_free_id(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let first = record(merchant, &order);
    database.commit(records(merchant, vec![new(first.clone())])).await?;
    let mut again = new(first.clone());
    again.record.state = "again".into();
    let answer = database.commit(records(merchant, vec![again])).await;
    expect_stale(answer, "order", &order.to_string())?;
    ensure!(read(&*database, merchant, &order).await? == Some(first), "it was written over");
    Ok(())
}

async fn another_version_is_stale(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let first = record(merchant, &order);
    database.commit(records(merchant, vec![new(first.clone())])).await?;
    let second = next(&first, 1, "second");
    database.commit(records(merchant, vec![second.clone()])).await?;
    for version in [0, 1, 3] {
        let write = next(&first, version, "stale");
        let answer = database.commit(records(merchant, vec![write])).await;
        expect_stale(answer, "order", &order.to_string())?;
    }
    let found = read(&*database, merchant, &order).await?;
    ensure!(found == Some(second.record), "it was written over: {found:?}");
    Ok(())
}

async fn what_is_not_there_is_stale(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let write = next(&record(merchant, &order), 1, "of nothing");
    let answer = database.commit(records(merchant, vec![write])).await;
    expect_stale(answer, "order", &order.to_string())?;
    ensure!(read(&*database, merchant, &order).await?.is_none(), "it was made");
    Ok(())
}

async fn a_new_record_is_not_written_over_another_merchants(subject: Store) -> anyhow::Result<()> {
    let (database, order) = (subject.handle()?, id::<OrderId>(1));
    let (owner, other) = (merchant(), merchant());
    let first = record(owner, &order);
    database.commit(records(owner, vec![new(first.clone())])).await?;
    let answer = database.commit(records(other, vec![new(record(other, &order))])).await;
    expect_stale(answer, "order", &order.to_string())?;
    ensure!(read(&*database, owner, &order).await? == Some(first), "it was written over");
    Ok(())
}

async fn of_concurrent_writes_exactly_one_wins(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let first = record(merchant, &order);
    database.commit(records(merchant, vec![new(first.clone())])).await?;
    let mut commits = JoinSet::new();
    for writer in 0..16 {
        let write = next(&first, 1, &format!("by {writer}"));
        let database = database.clone();
        commits.spawn(async move {
            let document = write.record.document.clone();
            (database.commit(records(merchant, vec![write])).await, document)
        });
    }
    let mut winners = vec![];
    while let Some(outcome) = commits.join_next().await {
        match outcome? {
            (Ok(()), document) => winners.push(document),
            (Err(CommitError::Stale { .. }), _) => {}
            (Err(other), _) => return Err(other.into()),
        }
    }
    ensure!(winners.len() == 1, "{} of 16 writes won", winners.len());
    let found = read(&*database, merchant, &order).await?.context("it is gone")?;
    ensure!(found.version == 2 && found.document == winners[0], "{found:?} is not the winner's");
    Ok(())
}

/// Four writers count to ten each, reading again whenever they were too late.
async fn no_concurrent_update_is_lost(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let mut zero = record(merchant, &order);
    zero.state = "0".into();
    database.commit(records(merchant, vec![new(zero)])).await?;
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let database = database.clone();
        writers.spawn(async move {
            let mut written = 0;
            while written < 10 {
                let found = read(&*database, merchant, &order).await?.context("it is gone")?;
                let mut write = next(&found, found.version, "counted");
                write.record.state = (found.state.parse::<u32>()? + 1).to_string();
                match database.commit(records(merchant, vec![write])).await {
                    Ok(()) => written += 1,
                    Err(CommitError::Stale { .. }) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    let found = read(&*database, merchant, &order).await?.context("it is gone")?;
    let counted = (found.version, found.state.as_str());
    ensure!(counted == (41, "40"), "version and count are {counted:?}");
    Ok(())
}
