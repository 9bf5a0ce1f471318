//! What becomes of a queue when its store is opened again, opened twice, or lost.

use super::{Claims, FEW, LONG, PATIENCE, QUIET, SHORT, Store, expect_lost, expect_quiet};
use super::{expect_ticket, lane, message, once_back, send, take};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::queue::{Queue, SettleError, SettledBy};
use std::collections::HashSet;
use std::time::{Duration, Instant};

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(suite, "wiping", if claims.wipes, [
        it_starts_empty_and_works,
        old_receipts_are_no_failure,
    ]);
    cases!(suite, "durability", if claims.reopens, [
        waiting_messages_are_there_after_reopening,
        leased_messages_come_again_after_reopening,
    ]);
    cases!(suite, "sharing", safe FEW, if claims.shared, [two_handles_serve_one_queue]);
    let anyone = claims.caps.settled_by == SettledBy::Anyone;
    cases!(suite, "receipts", safe FEW, if claims.shared && anyone, [settle_through_any_handle]);
    cases!(suite, "receipts", safe FEW, if claims.shared && !anyone, [settle_through_their_handle_only]);
    cases!(suite, "holders", safe FEW, if claims.shared, [what_a_holder_leaves_behind_comes_again]);
}

async fn it_starts_empty_and_works(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, &[sent.clone(), message()]).await?;
    take(&queue, LONG).await?;
    drop(queue);
    let queue = subject.wipe().await?;
    once_back(|| async { queue.ensure(&lane()).await }).await?;
    expect_quiet(&queue).await?;
    // Its content is rebuilt from the database: the same ids come again.
    send(&queue, std::slice::from_ref(&sent)).await?;
    let again = take(&queue, LONG).await?;
    expect_ticket(&again, sent.ticket)?;
    queue.ack(&again.receipt).await?;
    expect_quiet(&queue).await
}

async fn old_receipts_are_no_failure(mut subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let held = take(&queue, LONG).await?;
    drop(queue);
    let queue = subject.wipe().await?;
    once_back(|| async { queue.ensure(&lane()).await }).await?;
    match queue.ack(&held.receipt).await {
        Ok(()) | Err(SettleError::Lost) => Ok(()),
        Err(SettleError::Backend(error)) => Err(error.into()),
    }
}

async fn waiting_messages_are_there_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    drop(queue);
    let queue = subject.reopen().await?;
    let delivery = take(&queue, LONG).await?;
    expect_ticket(&delivery, sent.ticket)?;
    queue.ack(&delivery.receipt).await?;
    drop(queue);
    expect_quiet(&subject.reopen().await?).await
}

async fn leased_messages_come_again_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    take(&queue, SHORT).await?;
    drop(queue);
    let queue = subject.reopen().await?;
    expect_ticket(&take(&queue, LONG).await?, sent.ticket)
}

async fn two_handles_serve_one_queue(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let sent = message();
    send(&one, std::slice::from_ref(&sent)).await?;
    let held = take(&other, LONG).await?;
    expect_ticket(&held, sent.ticket)?;
    expect_quiet(&one).await?;
    other.ack(&held.receipt).await?;
    expect_quiet(&one).await
}

async fn settle_through_any_handle(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    let (first, second) = (message(), message());
    send(&one, &[first.clone(), second]).await?;
    let (held, to_return) = (take(&other, SHORT).await?, take(&other, LONG).await?);
    one.extend(&held.receipt, LONG).await?;
    one.release(&to_return.receipt, Duration::ZERO).await?;
    let again = take(&one, LONG).await?;
    expect_ticket(&again, to_return.ticket)?;
    other.ack(&again.receipt).await?;
    ensure!(one.lease(&lane(), 1, LONG, 2 * SHORT).await?.is_empty(), "it was not extended");
    one.ack(&held.receipt).await?;
    expect_quiet(&other).await
}

async fn settle_through_their_handle_only(subject: Store) -> anyhow::Result<()> {
    let (one, other) = (subject.handle()?, subject.another().await?);
    send(&one, &[message()]).await?;
    let held = take(&other, 10 * QUIET).await?;
    expect_lost(one.ack(&held.receipt).await)?;
    expect_lost(one.extend(&held.receipt, LONG).await)?;
    expect_lost(one.release(&held.receipt, Duration::ZERO).await)?;
    expect_quiet(&one).await?;
    // As if its holder had died.
    let again = take(&one, LONG).await?;
    expect_ticket(&again, held.ticket)?;
    one.ack(&again.receipt).await?;
    expect_quiet(&other).await
}

async fn what_a_holder_leaves_behind_comes_again(subject: Store) -> anyhow::Result<()> {
    let (queue, holder) = (subject.handle()?, subject.another().await?);
    send(&queue, &[message(), message(), message()]).await?;
    let began = Instant::now();
    let mut left = HashSet::new();
    while left.len() < 3 {
        let leased = holder.lease(&lane(), 3, 4 * SHORT, PATIENCE).await?;
        left.extend(leased.into_iter().map(|delivery| delivery.ticket));
    }
    drop(holder);
    let mut again = HashSet::new();
    while again.len() < 3 {
        again.insert(take(&queue, LONG).await?.ticket);
    }
    ensure!(left == again, "{left:?} were left, and {again:?} came");
    ensure!(began.elapsed() < PATIENCE / 2, "they came only after {:?}", began.elapsed());
    Ok(())
}
