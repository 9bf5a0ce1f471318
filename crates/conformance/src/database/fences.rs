//! A ticket is written only if its guard holds.

use super::{Handle, Store, expect_fence_lost, expect_stale};
use crate::samples::{
    at, id, merchant, new, next, queued, read_ticket, record, records, ticket, tickets,
};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use printmill_backend::{Change, CommitError, Database};
use printmill_domain::ids::OrderId;
use printmill_domain::ticket::{Fence, Ticket, TicketState};
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Database>) {
    cases!(
        suite,
        "fences",
        [
            a_new_ticket_needs_a_free_id,
            another_version_is_refused,
            what_is_not_there_is_refused,
            the_holder_may_write,
            a_wrong_attempt_or_token_is_refused,
            after_another_claim_the_old_holder_is_refused,
            a_settled_ticket_is_held_by_nobody,
            a_token_alone_holds_nothing,
            a_lease_that_ran_out_holds_until_another_claim,
            what_a_holder_writes_gets_the_next_version,
            a_change_that_is_stale_as_well_answers_stale,
            of_concurrent_claims_exactly_one_wins,
            of_concurrent_completions_exactly_one_wins,
        ]
    );
}

const LEASE: TimeDelta = TimeDelta::seconds(30);

async fn stored(database: &Handle) -> anyhow::Result<Ticket> {
    let ticket = ticket(merchant());
    database.commit(tickets(ticket.merchant, vec![queued(ticket.clone())])).await?;
    Ok(ticket)
}

async fn claimed(
    database: &Handle,
    from: &Ticket,
    token: u64,
    now: i64,
) -> anyhow::Result<(Ticket, Fence)> {
    let claimed = from.claim(&format!("holder {token}"), token, LEASE, at(now))?;
    database.commit(change(from).ticket(claimed.clone(), from.version)).await?;
    let fence = claimed.fence().context("a claimed ticket has a fence")?;
    Ok((claimed, fence))
}

fn change(ticket: &Ticket) -> Change {
    Change::new(ticket.merchant, at(10))
}

async fn state(database: &Handle, ticket: &Ticket) -> anyhow::Result<TicketState> {
    Ok(read_ticket(&**database, ticket.id).await?.context("the ticket is gone")?.state)
}

async fn a_new_ticket_needs_a_free_id(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let first = stored(&database).await?;
    let again = Ticket { kind: "item.other".into(), ..first.clone() };
    let answer = database.commit(tickets(first.merchant, vec![queued(again)])).await;
    expect_fence_lost(answer, &first.id.to_string())?;
    let found = read_ticket(&*database, first.id).await?;
    ensure!(found.as_ref() == Some(&first), "it was written over: {found:?}");
    Ok(())
}

async fn another_version_is_refused(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let first = stored(&database).await?;
    let second = first.sent(at(4));
    database.commit(change(&first).ticket(second.clone(), 1)).await?;
    for version in [0, 1, 3] {
        let answer = database.commit(change(&first).ticket(first.sent(at(5)), version)).await;
        expect_fence_lost(answer, &first.id.to_string())?;
    }
    let found = read_ticket(&*database, first.id).await?;
    ensure!(found.as_ref() == Some(&second), "it was written over: {found:?}");
    Ok(())
}

async fn what_is_not_there_is_refused(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let nothing = ticket(merchant());
    let (claimed, id) = (nothing.claim("one", 7, LEASE, at(1))?, nothing.id.to_string());
    let fence = claimed.fence().context("a claimed ticket has a fence")?;
    let answer = database.commit(change(&nothing).ticket(claimed.clone(), 1)).await;
    expect_fence_lost(answer, &id)?;
    expect_fence_lost(database.commit(change(&nothing).held(claimed, &fence)).await, &id)?;
    ensure!(read_ticket(&*database, nothing.id).await?.is_none(), "it was made");
    Ok(())
}

async fn the_holder_may_write(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let done = held.complete(&fence, at(2))?;
    database.commit(change(&held).held(done.clone(), &fence)).await?;
    let found = read_ticket(&*database, held.id).await?;
    ensure!(found == Some(done), "{found:?}");
    Ok(())
}

async fn a_wrong_attempt_or_token_is_refused(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let done = held.complete(&fence, at(2))?;
    for wrong in [Fence { attempt: 2, ..fence.clone() }, Fence { token: 8, ..fence.clone() }] {
        let answer = database.commit(change(&held).held(done.clone(), &wrong)).await;
        expect_fence_lost(answer, &held.id.to_string())?;
    }
    let state = state(&database, &held).await?;
    ensure!(state == TicketState::Leased, "it became {state:?}");
    Ok(())
}

/// The effect that the old holder wanted to commit must not be there either.
async fn after_another_claim_the_old_holder_is_refused(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let (again, new_fence) = claimed(&database, &held, 8, 60).await?;
    let order: OrderId = id(1);
    let mut late = change(&held).held(held.complete(&fence, at(61))?, &fence);
    late.records = vec![new(record(held.merchant, &order))];
    expect_fence_lost(database.commit(late).await, &held.id.to_string())?;
    let effect = crate::samples::read(&*database, held.merchant, &order).await?;
    ensure!(effect.is_none(), "the late holder's effect was committed");
    let done = again.complete(&new_fence, at(62))?;
    database.commit(change(&again).held(done, &new_fence)).await?;
    Ok(())
}

async fn a_settled_ticket_is_held_by_nobody(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    for settled in [Ticket::complete, Ticket::release] {
        let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
        database.commit(change(&held).held(settled(&held, &fence, at(2))?, &fence)).await?;
        let answer =
            database.commit(change(&held).held(held.complete(&fence, at(3))?, &fence)).await;
        expect_fence_lost(answer, &held.id.to_string())?;
    }
    Ok(())
}

/// A ticket in another state that still shows the attempt and token of its last lease.
async fn a_token_alone_holds_nothing(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let leased = ticket(merchant()).claim("one", 7, LEASE, at(1))?;
    let fence = leased.fence().context("a claimed ticket has a fence")?;
    for state in [TicketState::Queued, TicketState::Done, TicketState::Dead] {
        let kept = Ticket { id: id(0), state, ..leased.clone() };
        database.commit(tickets(kept.merchant, vec![queued(kept.clone())])).await?;
        let again = Ticket { state: TicketState::Done, ..kept.clone() };
        let answer = database.commit(change(&kept).held(again, &fence)).await;
        expect_fence_lost(answer, &kept.id.to_string())?;
    }
    Ok(())
}

async fn a_lease_that_ran_out_holds_until_another_claim(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let late = Change::new(held.merchant, at(10_000));
    database.commit(late.held(held.complete(&fence, at(10_000))?, &fence)).await?;
    let state = state(&database, &held).await?;
    ensure!(state == TicketState::Done, "it is {state:?}");
    Ok(())
}

/// A holder completes what it read before its last heartbeat. If the version stood still, a
/// claim based on the heartbeat's version would undo the completion.
async fn what_a_holder_writes_gets_the_next_version(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let alive = held.extend(&fence, LEASE, 500, at(5))?;
    database.commit(change(&held).held(alive.clone(), &fence)).await?;
    database.commit(change(&held).held(held.complete(&fence, at(6))?, &fence)).await?;
    let found = read_ticket(&*database, held.id).await?.context("the ticket is gone")?;
    ensure!(found.version == alive.version + 1, "it has version {}", found.version);
    let stolen = alive.claim("another", 8, LEASE, at(60))?;
    let answer = database.commit(change(&held).ticket(stolen, alive.version)).await;
    expect_fence_lost(answer, &held.id.to_string())
}

async fn a_change_that_is_stale_as_well_answers_stale(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let first = stored(&database).await?;
    let order: OrderId = id(1);
    let mut change = tickets(first.merchant, vec![queued(first.clone())]);
    change.records = vec![next(&record(first.merchant, &order), 1, "of nothing")];
    expect_stale(database.commit(change).await, "order", &order.to_string())
}

async fn of_concurrent_claims_exactly_one_wins(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let waiting = stored(&database).await?;
    let mut claims = JoinSet::new();
    for token in 0..16 {
        let claimed = waiting.claim(&format!("holder {token}"), token, LEASE, at(1))?;
        let (change, database) = (change(&waiting).ticket(claimed, 1), database.clone());
        claims.spawn(async move { database.commit(change).await.map(|()| token) });
    }
    let winners = winners(claims).await?;
    ensure!(winners.len() == 1, "{} of 16 claims won", winners.len());
    let found = read_ticket(&*database, waiting.id).await?.context("the ticket is gone")?;
    ensure!(found.token == Some(winners[0]), "{found:?} is not the winner's");
    Ok(())
}

/// The same holder asks eight times at once; its effects must be committed once.
async fn of_concurrent_completions_exactly_one_wins(subject: Store) -> anyhow::Result<()> {
    let database = subject.handle()?;
    let (held, fence) = claimed(&database, &stored(&database).await?, 7, 1).await?;
    let mut completions = JoinSet::new();
    let orders: Vec<OrderId> = (0..8).map(id).collect();
    for (number, order) in orders.iter().enumerate() {
        let mut change = records(held.merchant, vec![new(record(held.merchant, order))]);
        change = change.held(held.complete(&fence, at(2))?, &fence);
        let database = database.clone();
        completions.spawn(async move { database.commit(change).await.map(|()| number as u64) });
    }
    let winners = winners(completions).await?;
    let mut effects = 0;
    for order in &orders {
        let effect = crate::samples::read(&*database, held.merchant, order).await?;
        effects += usize::from(effect.is_some());
    }
    let counted = (winners.len(), effects);
    ensure!(counted == (1, 1), "completions and effects: {counted:?}");
    Ok(())
}

async fn winners(mut commits: JoinSet<Result<u64, CommitError>>) -> anyhow::Result<Vec<u64>> {
    let mut winners = vec![];
    while let Some(answer) = commits.join_next().await {
        match answer? {
            Ok(winner) => winners.push(winner),
            Err(CommitError::FenceLost { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(winners)
}
