//! `commit` applies a whole change or nothing of it.

use super::{Handle, Store, expect_fence_lost, expect_stale};
use crate::samples::{
    event, events, id, log, merchant, new, next, queued, read, read_ticket, record, records,
    request, ticket, tickets,
};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::{Change, CommitError, Database, TicketGuard};
use printmill_domain::ids::{MerchantId, OrderId, TicketId};

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "atomicity",
        [
            a_good_change_is_applied_whole,
            an_empty_change_is_no_error,
            one_stale_record_and_nothing_is_applied,
            one_lost_fence_and_nothing_is_applied,
            one_taken_event_and_nothing_is_applied,
            concurrent_changes_do_not_mix,
        ]
    );
}

/// A change with every kind of part, and what to look for afterwards.
struct Whole {
    merchant: MerchantId,
    orders: Vec<OrderId>,
    ticket: TicketId,
    change: Change,
}

fn whole() -> Whole {
    let merchant = merchant();
    let orders: Vec<OrderId> = (0..3).map(id).collect();
    let ticket = ticket(merchant);
    let mut change =
        records(merchant, orders.iter().map(|order| new(record(merchant, order))).collect());
    change.events = orders.iter().map(|order| event(order, 1)).collect();
    change.request = Some(request("one", "all of it"));
    let id = ticket.id;
    change.tickets = vec![queued(ticket)];
    Whole { merchant, orders, ticket: id, change }
}

impl Whole {
    async fn expect(&self, database: &Handle, applied: bool) -> anyhow::Result<()> {
        for order in &self.orders {
            let found = read(&**database, self.merchant, order).await?.is_some();
            ensure!(found == applied, "record {order}: found {found}");
        }
        let found = read_ticket(&**database, self.ticket).await?.is_some();
        ensure!(found == applied, "ticket: found {found}");
        let found = database.request(self.merchant, "one").await?.is_some();
        ensure!(found == applied, "request: found {found}");
        let logged = log(&**database).await?;
        let of_these = |id: &str| self.orders.iter().any(|order| order.to_string() == *id);
        let found = logged.iter().filter(|event| of_these(&event.draft.stream)).count();
        ensure!(found == if applied { 3 } else { 0 }, "found {found} events");
        Ok(())
    }
}

async fn a_good_change_is_applied_whole(subject: Store) -> anyhow::Result<()> {
    let (database, whole) = (subject.handle()?, whole());
    whole.expect(&database, false).await?;
    database.commit(whole.change.clone()).await?;
    whole.expect(&database, true).await
}

async fn an_empty_change_is_no_error(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    database.commit(records(merchant(), vec![])).await?;
    ensure!(log(&*database).await?.is_empty(), "an empty change made events");
    Ok(())
}

async fn one_stale_record_and_nothing_is_applied(subject: Store) -> anyhow::Result<()> {
    let (database, mut whole) = (subject.handle()?, whole());
    let other: OrderId = id(9);
    let stored = record(whole.merchant, &other);
    database.commit(records(whole.merchant, vec![new(stored.clone())])).await?;
    whole.change.records.push(next(&stored, 7, "stale"));
    let answer = database.commit(whole.change.clone()).await;
    expect_stale(answer, "order", &other.to_string())?;
    let kept = read(&*database, whole.merchant, &other).await?;
    ensure!(kept == Some(stored), "the other record changed: {kept:?}");
    whole.expect(&database, false).await
}

async fn one_lost_fence_and_nothing_is_applied(subject: Store) -> anyhow::Result<()> {
    let (database, mut whole) = (subject.handle()?, whole());
    let held = ticket(whole.merchant);
    database.commit(tickets(whole.merchant, vec![queued(held.clone())])).await?;
    let mut lost = queued(held.clone());
    lost.guard = TicketGuard::Held { attempt: 1, token: 5 };
    whole.change.tickets.push(lost);
    expect_fence_lost(database.commit(whole.change.clone()).await, &held.id.to_string())?;
    whole.expect(&database, false).await
}

async fn one_taken_event_and_nothing_is_applied(subject: Store) -> anyhow::Result<()> {
    let (database, mut whole) = (subject.handle()?, whole());
    let other: OrderId = id(9);
    database.commit(events(whole.merchant, vec![event(&other, 1)])).await?;
    whole.change.events.push(event(&other, 1));
    let answer = database.commit(whole.change.clone()).await;
    expect_stale(answer, "event", &other.to_string())?;
    whole.expect(&database, false).await
}

/// Eight changes want to create the same three things, in different orders.
async fn concurrent_changes_do_not_mix(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let orders: Vec<OrderId> = (0..3).map(id).collect();
    let mut commits = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let mut writes: Vec<_> = orders
            .iter()
            .map(|order| {
                let mut write = new(record(merchant, order));
                write.record.state = format!("by {writer}");
                write
            })
            .collect();
        writes.rotate_left(writer % 3);
        let database = database.clone();
        commits.spawn(async move { database.commit(records(merchant, writes)).await });
    }
    let mut applied = 0;
    while let Some(answer) = commits.join_next().await {
        match answer? {
            Ok(()) => applied += 1,
            Err(CommitError::Stale { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    ensure!(applied == 1, "{applied} of 8 changes were applied");
    let mut states = vec![];
    for order in &orders {
        states.extend(read(&*database, merchant, order).await?.map(|record| record.state));
    }
    ensure!(states.len() == 3 && states.iter().all(|s| *s == states[0]), "mixed: {states:?}");
    Ok(())
}
