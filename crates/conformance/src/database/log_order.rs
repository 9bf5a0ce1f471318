//! `seq` starts at 1, has no gaps, never changes, and keeps the order of each stream.

use super::{Claims, Handle, Store};
use crate::samples::{event, events, id, log, merchant};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::database::EventQuery;
use printmill_backend::{CommitError, Database};
use printmill_domain::event::Event;
use printmill_domain::ids::OrderId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Database>, claims: Claims) {
    cases!(
        suite,
        "events",
        [
            refused_commits_leave_no_gap,
            a_seq_never_changes,
            the_log_is_gapless_and_ordered_under_concurrent_commits,
            a_reader_never_later_finds_a_smaller_seq,
        ]
    );
    let numbers = claims.numbers_in_commit;
    cases!(suite, "events", if numbers, [events_are_numbered_in_the_commit]);
}

async fn events_are_numbered_in_the_commit(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    database.commit(events(merchant, vec![event(&id(1), 1), event(&id(1), 2)])).await?;
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    let seqs: Vec<u64> = database.events(query).await?.iter().map(|event| event.seq).collect();
    ensure!(seqs == [1, 2], "nobody called `sequence`, and the log has {seqs:?}");
    ensure!(database.head().await? == 2 && database.sequence(10).await? == 0, "nothing is left");
    Ok(())
}

async fn refused_commits_leave_no_gap(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    for number in 1..=4 {
        database.commit(events(merchant, vec![event(&order, number)])).await?;
        let half_good = vec![event(&id(2), 1), event(&order, number)];
        let refused = database.commit(events(merchant, half_good)).await;
        ensure!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    }
    expect_whole(&log(&*database).await?, 4)
}

async fn a_seq_never_changes(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let mut before: Vec<Event> = vec![];
    for round in 0..5 {
        let order: OrderId = id(10 - round);
        database.commit(events(merchant, vec![event(&order, 1), event(&order, 2)])).await?;
        let after = log(&*database).await?;
        ensure!(after[..before.len()] == before[..], "the log changed: {before:?}, {after:?}");
        before = after;
    }
    Ok(())
}

const WRITERS: usize = 4;
const COMMITS: u64 = 25;

/// Each writer commits to a stream of its own, two events at a time.
fn write(database: &Handle) -> (JoinSet<anyhow::Result<()>>, Arc<AtomicUsize>) {
    let (mut writers, left) = (JoinSet::new(), Arc::new(AtomicUsize::new(WRITERS)));
    for writer in 0..WRITERS {
        let (database, left) = (database.clone(), left.clone());
        writers.spawn(async move {
            let stream: OrderId = id(writer as i64);
            let written = write_stream(&database, &stream).await;
            left.fetch_sub(1, Ordering::SeqCst);
            written
        });
    }
    (writers, left)
}

async fn write_stream(database: &Handle, stream: &OrderId) -> anyhow::Result<()> {
    let merchant = merchant();
    for commit in 0..COMMITS {
        let pair = vec![event(stream, 2 * commit + 1), event(stream, 2 * commit + 2)];
        database.commit(events(merchant, pair)).await?;
    }
    Ok(())
}

fn expect_whole(logged: &[Event], count: usize) -> anyhow::Result<()> {
    ensure!(logged.len() == count, "{} events instead of {count}", logged.len());
    let mut streams: HashMap<&str, u64> = HashMap::new();
    for (index, event) in logged.iter().enumerate() {
        ensure!(event.seq == index as u64 + 1, "seq {} at place {}", event.seq, index + 1);
        let last = streams.entry(&event.draft.stream).or_default();
        let sequence = event.draft.sequence;
        ensure!(sequence == *last + 1, "{sequence} comes after {last} in its stream");
        *last = sequence;
    }
    Ok(())
}

async fn join(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

async fn the_log_is_gapless_and_ordered_under_concurrent_commits(
    subject: Store,
) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (mut tasks, left) = write(&database);
    // Two sequencers at once, as happens for a moment when the leader changes.
    for _ in 0..2 {
        let (database, left) = (database.clone(), left.clone());
        tasks.spawn(async move {
            while left.load(Ordering::SeqCst) > 0 {
                database.sequence(7).await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    expect_whole(&log(&*database).await?, WRITERS * 2 * COMMITS as usize)
}

/// A reader follows the log from seq to seq while others write; what it saw is all there is.
async fn a_reader_never_later_finds_a_smaller_seq(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (writers, left) = write(&database);
    let mut seen: Vec<Event> = vec![];
    loop {
        let written = left.load(Ordering::SeqCst) == 0;
        let numbered = database.sequence(5).await?;
        let after = seen.last().map_or(0, |event| event.seq);
        let query = EventQuery { after, limit: 1000, ..EventQuery::default() };
        let found = database.events(query).await?;
        if written && numbered == 0 && found.is_empty() {
            break;
        }
        seen.extend(found);
    }
    join(writers).await?;
    let all = log(&*database).await?;
    ensure!(seen == all, "the reader saw {} of {} events", seen.len(), all.len());
    expect_whole(&all, WRITERS * 2 * COMMITS as usize)
}
