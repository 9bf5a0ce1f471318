//! A holder whose lease ran out and was leased by another is refused, where the queue says so.

use super::{
    Claims, FEW, Handle, LONG, SHORT, Store, expect_lost, expect_quiet, message, send, take,
};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::queue::{Delivery, Queue, SettleError};
use std::time::Duration;

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(suite, "fencing", safe FEW, if claims.caps.fenced_settle, [
        a_late_acknowledgement_is_refused,
        a_late_extension_is_refused,
        a_late_release_is_refused,
        a_released_delivery_is_held_by_nobody,
    ]);
    cases!(suite, "fencing", safe FEW, [acknowledging_twice_is_harmless]);
    cases!(
        suite,
        "late_settling",
        safe FEW,
        [a_late_acknowledgement_is_no_failure, a_late_extension_and_release_are_no_failure,]
    );
}

/// A message whose first holder was too slow, and its second holder.
async fn taken_over(queue: &Handle) -> anyhow::Result<(Delivery, Delivery)> {
    send(queue, &[message()]).await?;
    let late = take(queue, SHORT).await?;
    let holder = take(queue, LONG).await?;
    ensure!(late.ticket == holder.ticket, "{late:?}, then {holder:?}");
    ensure!(late.receipt != holder.receipt, "both hold {:?}", holder.receipt);
    Ok((late, holder))
}

async fn expect_still_held(queue: &Handle, holder: &Delivery) -> anyhow::Result<()> {
    expect_quiet(queue).await?;
    queue.extend(&holder.receipt, LONG).await?;
    queue.ack(&holder.receipt).await?;
    expect_quiet(queue).await
}

async fn a_late_acknowledgement_is_refused(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (late, holder) = taken_over(&queue).await?;
    expect_lost(queue.ack(&late.receipt).await)?;
    expect_still_held(&queue, &holder).await
}

async fn a_late_extension_is_refused(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (late, holder) = taken_over(&queue).await?;
    // Were it done, the message would come again during the quiet.
    expect_lost(queue.extend(&late.receipt, Duration::ZERO).await)?;
    expect_still_held(&queue, &holder).await
}

async fn a_late_release_is_refused(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (late, holder) = taken_over(&queue).await?;
    expect_lost(queue.release(&late.receipt, Duration::ZERO).await)?;
    expect_still_held(&queue, &holder).await
}

async fn a_released_delivery_is_held_by_nobody(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let first = take(&queue, LONG).await?;
    queue.release(&first.receipt, Duration::ZERO).await?;
    let holder = take(&queue, LONG).await?;
    expect_lost(queue.ack(&first.receipt).await)?;
    expect_still_held(&queue, &holder).await
}

async fn acknowledging_twice_is_harmless(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let held = take(&queue, LONG).await?;
    queue.ack(&held.receipt).await?;
    let again = queue.ack(&held.receipt).await;
    ensure!(matches!(again, Ok(()) | Err(SettleError::Lost)), "{again:?}");
    send(&queue, &[message()]).await?;
    queue.ack(&take(&queue, LONG).await?.receipt).await?;
    expect_quiet(&queue).await
}

fn expect_no_failure(answer: Result<(), SettleError>) -> anyhow::Result<()> {
    ensure!(matches!(answer, Ok(()) | Err(SettleError::Lost)), "{answer:?}");
    Ok(())
}

/// It may count, as the work is done; it may be refused. Then the message is gone all the same.
async fn a_late_acknowledgement_is_no_failure(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (late, holder) = taken_over(&queue).await?;
    expect_no_failure(queue.ack(&late.receipt).await)?;
    expect_no_failure(queue.ack(&holder.receipt).await)?;
    expect_no_failure(queue.ack(&late.receipt).await)?;
    expect_quiet(&queue).await
}

/// They may take the message from its new holder; they never take it out of the queue.
async fn a_late_extension_and_release_are_no_failure(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (late, holder) = taken_over(&queue).await?;
    expect_no_failure(queue.extend(&late.receipt, SHORT).await)?;
    expect_no_failure(queue.release(&late.receipt, Duration::ZERO).await)?;
    expect_no_failure(queue.release(&holder.receipt, Duration::ZERO).await)?;
    let again = take(&queue, LONG).await?;
    ensure!(again.ticket == holder.ticket, "{again:?}");
    queue.ack(&again.receipt).await?;
    expect_quiet(&queue).await
}
