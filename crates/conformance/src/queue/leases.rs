//! Leases and delays: what is not delivered before its time, and delivered after it.

use super::{Claims, FEW, LONG, PATIENCE, QUIET, SHORT, Store, expect_quiet, expect_ticket, lane};
use super::{message, send, take};
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use printmill_backend::queue::{Message, Queue};
use std::time::{Duration, Instant};

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(
        suite,
        "leases",
        safe FEW,
        [
            not_delivered_again_before_it_runs_out,
            of_two_consumers_one_gets_it,
            delivered_again_when_it_is_released,
        ]
    );
    cases!(
        suite,
        "extending",
        safe FEW,
        [
            makes_the_lease_end_later,
            makes_the_lease_end_sooner,
            may_be_done_again_and_again,
            outlasts_the_first_lease,
        ]
    );
    let delays = claims.caps.delay_max >= 3 * SHORT;
    cases!(suite, "delays", safe FEW, if delays, [
        a_delayed_message_is_not_delivered_before,
        a_message_released_with_a_delay_is_not_delivered_before,
        a_delayed_message_does_not_hold_up_others,
        each_delay_is_kept_by_itself,
    ]);
}

/// Queues may keep their times in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// Makes sure that something took at least its time, and came at all.
fn expect_took(began: Instant, at_least: Duration) -> anyhow::Result<()> {
    let took = began.elapsed();
    ensure!(took + ROUNDING >= at_least, "it came after {took:?}, before {at_least:?}");
    ensure!(took < at_least + PATIENCE / 2, "it came only after {took:?}");
    Ok(())
}

async fn not_delivered_again_before_it_runs_out(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let began = Instant::now();
    take(&queue, SHORT).await?;
    let again = take(&queue, LONG).await?;
    expect_took(began, SHORT)?;
    expect_ticket(&again, sent.ticket)
}

async fn of_two_consumers_one_gets_it(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let name = lane();
    let (one, other) =
        tokio::join!(queue.lease(&name, 1, LONG, QUIET), queue.lease(&name, 1, LONG, QUIET));
    let got = one?.len() + other?.len();
    ensure!(got == 1, "{got} consumers got it");
    Ok(())
}

async fn delivered_again_when_it_is_released(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let first = take(&queue, LONG).await?;
    queue.release(&first.receipt, Duration::ZERO).await?;
    expect_ticket(&take(&queue, LONG).await?, sent.ticket)
}

async fn makes_the_lease_end_later(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let first = take(&queue, SHORT).await?;
    let began = Instant::now();
    queue.extend(&first.receipt, 3 * SHORT).await?;
    let again = take(&queue, LONG).await?;
    expect_took(began, 3 * SHORT)?;
    expect_ticket(&again, sent.ticket)
}

async fn makes_the_lease_end_sooner(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let first = take(&queue, LONG).await?;
    let began = Instant::now();
    queue.extend(&first.receipt, SHORT).await?;
    let again = take(&queue, LONG).await?;
    expect_took(began, SHORT)?;
    expect_ticket(&again, sent.ticket)
}

/// Heartbeats: the lease is kept for longer than its length, and still settles. Each comes early
/// enough for a slow machine.
async fn may_be_done_again_and_again(subject: Store) -> anyhow::Result<()> {
    let (queue, ttl) = (subject.handle()?, 10 * QUIET);
    send(&queue, &[message()]).await?;
    let held = take(&queue, ttl).await?;
    for _ in 0..12 {
        expect_quiet(&queue).await?;
        queue.extend(&held.receipt, ttl).await?;
    }
    queue.ack(&held.receipt).await?;
    expect_quiet(&queue).await
}

async fn outlasts_the_first_lease(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let held = take(&queue, 4 * SHORT).await?;
    queue.extend(&held.receipt, LONG).await?;
    let early = queue.lease(&lane(), 1, LONG, 6 * SHORT).await?;
    ensure!(early.is_empty(), "it came in spite of the extension: {early:?}");
    queue.ack(&held.receipt).await?;
    expect_quiet(&queue).await
}

async fn a_delayed_message_is_not_delivered_before(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let delayed = Message { delay: SHORT, ..message() };
    queue.ensure(&lane()).await?;
    let began = Instant::now();
    send(&queue, std::slice::from_ref(&delayed)).await?;
    let delivery = take(&queue, LONG).await?;
    expect_took(began, SHORT)?;
    expect_ticket(&delivery, delayed.ticket)
}

async fn a_message_released_with_a_delay_is_not_delivered_before(
    subject: Store,
) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let first = take(&queue, LONG).await?;
    let began = Instant::now();
    queue.release(&first.receipt, SHORT).await?;
    let again = take(&queue, LONG).await?;
    expect_took(began, SHORT)?;
    expect_ticket(&again, sent.ticket)
}

async fn a_delayed_message_does_not_hold_up_others(subject: Store) -> anyhow::Result<()> {
    let (queue, prompt) = (subject.handle()?, message());
    let delayed = Message { delay: 3 * SHORT, ..message() };
    send(&queue, &[delayed.clone(), prompt.clone()]).await?;
    expect_ticket(&take(&queue, LONG).await?, prompt.ticket)?;
    expect_ticket(&take(&queue, LONG).await?, delayed.ticket)
}

/// Longer and shorter ones at once, sent in the least convenient order.
async fn each_delay_is_kept_by_itself(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let delays = [3, 1, 2, 0].map(|times| times * SHORT);
    let messages = delays.map(|delay| Message { delay, ..message() });
    let began = Instant::now();
    send(&queue, &messages).await?;
    for _ in 0..messages.len() {
        let delivery = take(&queue, LONG).await?;
        let sent = messages.iter().find(|sent| sent.ticket == delivery.ticket);
        expect_took(began, sent.context("it was never sent")?.delay)?;
        queue.ack(&delivery.receipt).await?;
    }
    expect_quiet(&queue).await
}
