//! A delay, lease or payload beyond the capabilities is refused, and nothing is shortened.

use super::sending::TRIED_AT_MOST;
use super::{
    Claims, FEW, LONG, QUIET, Store, expect_quiet, expect_ticket, lane, message, send, take,
};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::queue::{Message, Queue, SettleError};
use std::time::Duration;

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    let delay = beyond(claims.caps.delay_max).is_some();
    cases!(suite, "refusals", safe FEW, if delay, [
        a_delay_beyond_the_longest_is_not_sent,
        a_release_beyond_the_longest_delay_changes_nothing,
    ]);
    let lease = beyond(claims.caps.lease_max).is_some();
    cases!(suite, "refusals", safe FEW, if lease, [
        a_lease_beyond_the_longest_takes_nothing,
        an_extension_beyond_the_longest_lease_changes_nothing,
    ]);
    let payload = claims.caps.payload_max <= TRIED_AT_MOST;
    cases!(suite, "refusals", safe FEW, if payload, [a_payload_beyond_the_largest_is_not_sent]);
    cases!(suite, "refusals", [the_longest_and_largest_are_taken]);
}

fn beyond(most: Duration) -> Option<Duration> {
    most.checked_add(Duration::from_secs(1))
}

fn expect_rejected(answer: Option<Result<(), BackendError>>) -> anyhow::Result<()> {
    match answer.context("there is no answer")? {
        Err(error) if error.fault == Fault::Rejected => Ok(()),
        other => anyhow::bail!("expected Rejected, but got {other:?}"),
    }
}

fn expect_settle_rejected(answer: Result<(), SettleError>) -> anyhow::Result<()> {
    match answer {
        Err(SettleError::Backend(error)) => expect_rejected(Some(Err(error))),
        other => anyhow::bail!("expected Rejected, but got {other:?}"),
    }
}

async fn a_delay_beyond_the_longest_is_not_sent(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let delay = beyond(queue.caps().delay_max).context("it takes any delay")?;
    queue.ensure(&lane()).await?;
    let mut answers = queue.send(&lane(), &[Message { delay, ..message() }]).await;
    expect_rejected(answers.pop())?;
    let stats = queue.stats(&lane()).await?;
    ensure!(!queue.caps().exact_stats || stats.total() == 0, "it was sent: {stats:?}");
    expect_quiet(&queue).await
}

async fn a_release_beyond_the_longest_delay_changes_nothing(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    let delay = beyond(queue.caps().delay_max).context("it takes any delay")?;
    send(&queue, &[sent]).await?;
    let held = take(&queue, LONG).await?;
    expect_settle_rejected(queue.release(&held.receipt, delay).await)?;
    expect_quiet(&queue).await?;
    queue.ack(&held.receipt).await?;
    Ok(())
}

async fn a_lease_beyond_the_longest_takes_nothing(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    let ttl = beyond(queue.caps().lease_max).context("it takes any lease")?;
    send(&queue, std::slice::from_ref(&sent)).await?;
    let answer = queue.lease(&lane(), 1, ttl, QUIET).await;
    expect_rejected(Some(answer.map(|_| ())))?;
    expect_ticket(&take(&queue, 4 * QUIET).await?, sent.ticket)
}

async fn an_extension_beyond_the_longest_lease_changes_nothing(
    subject: Store,
) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    let ttl = beyond(queue.caps().lease_max).context("it takes any lease")?;
    send(&queue, std::slice::from_ref(&sent)).await?;
    let held = take(&queue, 4 * QUIET).await?;
    expect_settle_rejected(queue.extend(&held.receipt, ttl).await)?;
    expect_ticket(&take(&queue, 4 * QUIET).await?, sent.ticket)
}

async fn a_payload_beyond_the_largest_is_not_sent(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let trace = Some("x".repeat(queue.caps().payload_max + 1));
    let mut answers = queue.send(&lane(), &[Message { trace, ..message() }]).await;
    expect_rejected(answers.pop())?;
    expect_quiet(&queue).await
}

async fn the_longest_and_largest_are_taken(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let (delay_max, lease_max) = (queue.caps().delay_max, queue.caps().lease_max);
    send(&queue, &[message()]).await?;
    let held = take(&queue, lease_max).await?;
    queue.extend(&held.receipt, lease_max).await?;
    queue.release(&held.receipt, delay_max).await?;
    send(&queue, &[Message { delay: delay_max, ..message() }]).await?;
    ensure!(delay_max < LONG || queue.lease(&lane(), 1, lease_max, QUIET).await?.is_empty());
    Ok(())
}
