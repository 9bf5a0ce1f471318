//! A request is answered once, and every repeat with what was stored.

use super::{Handle, Store};
use crate::samples::{
    event, events, id, log, merchant, new, next, queued, read, record, records, request, ticket,
};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::{Change, CommitError, Database, RequestRecord, TicketGuard};
use printmill_domain::ids::OrderId;
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "requests",
        [
            a_repeat_is_answered_and_not_applied,
            answered_whatever_else_is_wrong,
            merchants_have_their_own_ids,
            a_refused_change_leaves_its_request_free,
            stored_answers_are_read_back,
            of_concurrent_repeats_exactly_one_is_applied,
        ]
    );
}

async fn expect_answered(
    database: &Handle,
    change: Change,
    stored: &RequestRecord,
) -> anyhow::Result<()> {
    match database.commit(change).await {
        Err(CommitError::Answered(answer)) if answer == *stored => Ok(()),
        other => anyhow::bail!("expected the answer {stored:?}, but got {other:?}"),
    }
}

async fn a_repeat_is_answered_and_not_applied(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let first = request("one", "first");
    database.commit(records(merchant, vec![]).answering(Some(first.clone()))).await?;
    let order: OrderId = id(1);
    let change = records(merchant, vec![new(record(merchant, &order))]);
    let other = Some(request("one", "something else"));
    expect_answered(&database, change.answering(other), &first).await?;
    ensure!(read(&*database, merchant, &order).await?.is_none(), "the repeat was applied");
    Ok(())
}

async fn answered_whatever_else_is_wrong(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let first = request("one", "first");
    let mut change = events(merchant, vec![event(&order, 1)]);
    change.records = vec![new(record(merchant, &order))];
    database.commit(change.clone().answering(Some(first.clone()))).await?;
    expect_answered(&database, change.clone().answering(Some(first.clone())), &first).await?;
    change.records = vec![next(&record(merchant, &order), 9, "stale")];
    let mut lost = queued(ticket(merchant));
    lost.guard = TicketGuard::Held { attempt: 1, token: 1 };
    change.tickets = vec![lost];
    expect_answered(&database, change.answering(Some(first.clone())), &first).await?;
    let logged = log(&*database).await?.len();
    ensure!(logged == 1, "there are {logged} events");
    Ok(())
}

async fn merchants_have_their_own_ids(subject: Store) -> anyhow::Result<()> {
    let (database, one, other) = (subject.handle()?, merchant(), merchant());
    for (merchant, outcome) in [(one, "of one"), (other, "of the other")] {
        let answer = Some(request("same", outcome));
        database.commit(records(merchant, vec![]).answering(answer)).await?;
    }
    let answer = database.request(other, "same").await?;
    ensure!(answer == Some(request("same", "of the other")), "{answer:?}");
    Ok(())
}

async fn a_refused_change_leaves_its_request_free(subject: Store) -> anyhow::Result<()> {
    let (database, merchant, order) = (subject.handle()?, merchant(), id::<OrderId>(1));
    let stale = records(merchant, vec![next(&record(merchant, &order), 1, "of nothing")]);
    let refused = database.commit(stale.answering(Some(request("one", "refused")))).await;
    ensure!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    let good = records(merchant, vec![new(record(merchant, &order))]);
    database.commit(good.answering(Some(request("one", "good")))).await?;
    Ok(())
}

async fn stored_answers_are_read_back(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    ensure!(database.request(merchant, "one").await?.is_none(), "nothing was asked yet");
    let first = request("one", "first");
    database.commit(records(merchant, vec![]).answering(Some(first.clone()))).await?;
    let answer = database.request(merchant, "one").await?;
    ensure!(answer == Some(first), "{answer:?}");
    ensure!(database.request(merchant, "two").await?.is_none(), "that was never asked");
    Ok(())
}

async fn of_concurrent_repeats_exactly_one_is_applied(subject: Store) -> anyhow::Result<()> {
    let (database, merchant) = (subject.handle()?, merchant());
    let mut commits = JoinSet::new();
    let orders: Vec<OrderId> = (0..8).map(id).collect();
    for order in orders.clone() {
        let database = database.clone();
        let outcome = order.to_string();
        let change = records(merchant, vec![new(record(merchant, &order))]);
        let change = change.answering(Some(request("one", &outcome)));
        commits.spawn(async move { (database.commit(change).await, outcome) });
    }
    let (mut applied, mut answers) = (vec![], vec![]);
    while let Some(outcome) = commits.join_next().await {
        match outcome? {
            (Ok(()), outcome) => applied.push(outcome),
            (Err(CommitError::Answered(answer)), _) => answers.push(answer.outcome),
            (Err(other), _) => return Err(other.into()),
        }
    }
    ensure!(applied.len() == 1, "{} of 8 repeats were applied", applied.len());
    ensure!(answers.iter().all(|answer| *answer == applied[0]), "{applied:?}, {answers:?}");
    let mut made = 0;
    for order in &orders {
        made += usize::from(read(&*database, merchant, order).await?.is_some());
    }
    ensure!(made == 1, "{made} things were made");
    Ok(())
}
