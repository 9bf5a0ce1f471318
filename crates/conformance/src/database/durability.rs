//! What was committed is still there, and was committed once.

use super::{Claims, Store, expect_fence_lost, expect_stale};
use crate::samples::{
    event, events, id, log, merchant, new, queued, read, read_ticket, record, records, request,
    ticket, tickets,
};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::{CommitError, Database};
use printmill_domain::ids::OrderId;

pub(super) fn cases(suite: &mut Suite<dyn Database>, claims: Claims) {
    cases!(suite, "durability", if claims.reopens, [
        everything_is_there_after_reopening,
        seq_goes_on_after_reopening,
    ]);
    cases!(
        suite,
        "duplicates",
        [
            repeated_records_are_stale,
            repeated_events_are_stale,
            repeated_tickets_are_refused,
            repeated_requests_are_answered,
        ]
    );
}

async fn everything_is_there_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (merchant, order) = (merchant(), id::<OrderId>(1));
    let (stored, ticket) = (record(merchant, &order), ticket(merchant));
    let mut change = records(merchant, vec![new(stored.clone())]);
    change.events = vec![event(&order, 1)];
    change.tickets = vec![queued(ticket.clone())];
    change.request = Some(request("one", "stays"));
    database.commit(change).await?;
    drop(database);

    let database = subject.reopen().await?;
    ensure!(read(&*database, merchant, &order).await? == Some(stored), "the record changed");
    let found = read_ticket(&*database, ticket.id).await?;
    ensure!(found == Some(ticket), "the ticket changed: {found:?}");
    let answered = database.request(merchant, "one").await?;
    ensure!(answered == Some(request("one", "stays")), "the request changed: {answered:?}");
    ensure!(log(&*database).await?.len() == 1, "the event is gone");
    Ok(())
}

async fn seq_goes_on_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (merchant, order) = (merchant(), id::<OrderId>(1));
    database.commit(events(merchant, vec![event(&order, 1), event(&order, 2)])).await?;
    let before = log(&*database).await?;
    drop(database);

    let database = subject.reopen().await?;
    ensure!(database.head().await? == 2, "the head moved");
    database.commit(events(merchant, vec![event(&order, 3)])).await?;
    let after = log(&*database).await?;
    ensure!(after.len() == 3 && after[..2] == before[..], "{before:?}, then {after:?}");
    ensure!(after[2].seq == 3, "the log goes on with {}", after[2].seq);
    Ok(())
}

async fn repeated_records_are_stale(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let change = records(merchant, vec![new(record(merchant, &order))]);
    database.commit(change.clone()).await?;
    expect_stale(database.commit(change).await, "order", &order.to_string())
}

async fn repeated_events_are_stale(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let change = events(merchant, vec![event(&order, 1)]);
    database.commit(change.clone()).await?;
    expect_stale(database.commit(change).await, "event", &order.to_string())?;
    let logged = log(&*database).await?.len();
    ensure!(logged == 1, "the event is there {logged} times");
    Ok(())
}

async fn repeated_tickets_are_refused(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let ticket = ticket(merchant);
    let change = tickets(merchant, vec![queued(ticket.clone())]);
    database.commit(change.clone()).await?;
    expect_fence_lost(database.commit(change).await, &ticket.id.to_string())
}

async fn repeated_requests_are_answered(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let mut change = records(merchant, vec![new(record(merchant, &order))]);
    change.request = Some(request("one", "first"));
    database.commit(change.clone()).await?;
    let answer = database.commit(change).await;
    ensure!(matches!(answer, Err(CommitError::Answered(_))), "{answer:?}");
    Ok(())
}
