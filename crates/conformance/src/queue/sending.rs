//! Sending: an answer for each message, and duplicates where the queue leaves them out.

use super::{
    Claims, FEW, Handle, LONG, PATIENCE, QUIET, SHORT, Store, expect_quiet, lane, message,
};
use super::{send, take};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::queue::{Dedup, Message, Queue, QueueStats};
use std::time::{Duration, Instant};

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(suite, "stats", safe FEW, [the_total_is_right_once_the_lane_rests]);
    cases!(suite, "per_item", safe FEW, [nothing_to_send_is_no_error, sending_again_is_always_right]);
    let whole = claims.caps.payload_max <= TRIED_AT_MOST;
    cases!(suite, "per_item", safe FEW, if whole, [a_refused_message_does_not_hold_up_others]);
    let dedup = claims.caps.dedup == Dedup::WhilePresent;
    cases!(suite, "duplicates", safe FEW, if dedup, [
        what_waits_is_not_added_again,
        what_is_leased_is_not_added_again,
        what_was_acknowledged_is_added_again,
    ]);
    let counts = claims.caps.exact_stats && claims.caps.delay_max >= LONG;
    cases!(suite, "stats", if counts, [count_exactly]);
    cases!(suite, "stats", safe FEW, if counts, [an_empty_lane_counts_nothing]);
}

/// Larger payloads are not tried.
pub(super) const TRIED_AT_MOST: usize = 16 * 1024 * 1024;

async fn nothing_to_send_is_no_error(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    ensure!(queue.send(&lane(), &[]).await.is_empty(), "answers without messages");
    expect_quiet(&queue).await
}

/// Once or twice, but not lost, and gone when everything delivered was acknowledged.
async fn sending_again_is_always_right(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    send(&queue, std::slice::from_ref(&sent)).await?;
    queue.ack(&take(&queue, LONG).await?.receipt).await?;
    for second in queue.lease(&lane(), 10, LONG, QUIET).await? {
        ensure!(second.ticket == sent.ticket, "{second:?}");
        queue.ack(&second.receipt).await?;
    }
    expect_quiet(&queue).await
}

async fn a_refused_message_does_not_hold_up_others(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let too_large = Message { trace: Some("x".repeat(queue.caps().payload_max + 1)), ..message() };
    let messages = [message(), too_large, message()];
    let answers = queue.send(&lane(), &messages).await;
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    ensure!(taken == [true, false, true], "{answers:?}");
    let mut arrived = vec![take(&queue, LONG).await?.ticket, take(&queue, LONG).await?.ticket];
    arrived.sort();
    let mut expected = vec![messages[0].ticket, messages[2].ticket];
    expected.sort();
    ensure!(arrived == expected, "{arrived:?} arrived");
    expect_quiet(&queue).await
}

async fn what_waits_is_not_added_again(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, &[sent.clone(), sent.clone()]).await?;
    send(&queue, &[sent]).await?;
    queue.ack(&take(&queue, LONG).await?.receipt).await?;
    expect_quiet(&queue).await
}

async fn what_is_leased_is_not_added_again(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    let held = take(&queue, LONG).await?;
    send(&queue, &[sent]).await?;
    expect_quiet(&queue).await?;
    queue.ack(&held.receipt).await?;
    expect_quiet(&queue).await
}

async fn what_was_acknowledged_is_added_again(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    for _ in 0..2 {
        send(&queue, std::slice::from_ref(&sent)).await?;
        queue.ack(&take(&queue, LONG).await?.receipt).await?;
    }
    expect_quiet(&queue).await
}

async fn count_exactly(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let delayed = Message { delay: LONG, ..message() };
    send(&queue, &[message(), message(), message(), message(), message(), delayed]).await?;
    let stats = async |ready, in_flight, delayed| {
        let (found, expected) =
            (queue.stats(&lane()).await?, QueueStats { ready, in_flight, delayed });
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        anyhow::Ok(())
    };
    stats(5, 0, 1).await?;
    let (one, two) = (take(&queue, LONG).await?, take(&queue, LONG).await?);
    let three = take(&queue, LONG).await?;
    stats(2, 3, 1).await?;
    queue.ack(&one.receipt).await?;
    queue.release(&two.receipt, Duration::ZERO).await?;
    stats(3, 1, 1).await?;
    queue.release(&three.receipt, LONG).await?;
    stats(3, 0, 2).await?;
    // A lease that ran out is ready: it is the only one that comes while the others are held.
    let held = queue.lease(&lane(), 2, LONG, PATIENCE).await?;
    let short = take(&queue, 5 * SHORT).await?;
    ensure!(held.len() == 2, "{held:?}");
    stats(0, 3, 2).await?;
    let again = take(&queue, LONG).await?;
    ensure!(again.ticket == short.ticket, "{again:?}");
    stats(0, 3, 2).await
}

async fn an_empty_lane_counts_nothing(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let stats = queue.stats(&lane()).await?;
    ensure!(stats.total() == 0, "{stats:?}");
    send(&queue, &[message()]).await?;
    queue.ack(&take(&queue, LONG).await?.receipt).await?;
    let stats = queue.stats(&lane()).await?;
    ensure!(stats.total() == 0, "{stats:?}");
    Ok(())
}

/// Waits until the total is so much, as a queue that counts by and by may take a moment.
async fn expect_total(queue: &Handle, total: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let stats = queue.stats(&lane()).await?;
        if stats.total() == total {
            return Ok(());
        }
        let patience = if queue.caps().exact_stats { Duration::ZERO } else { PATIENCE };
        ensure!(began.elapsed() < patience, "{stats:?} in all is not {total}");
        // Waiting by leasing would move messages.
        tokio::time::sleep(QUIET).await;
    }
}

async fn the_total_is_right_once_the_lane_rests(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let messages: Vec<Message> = (0..40).map(|_| message()).collect();
    send(&queue, &messages).await?;
    expect_total(&queue, 40).await?;
    let mut held = vec![];
    while held.len() < 15 {
        let count = u16::try_from(15 - held.len())?;
        held.extend(queue.lease(&lane(), count, LONG, PATIENCE).await?);
    }
    expect_total(&queue, 40).await?;
    for delivery in &held[..10] {
        queue.ack(&delivery.receipt).await?;
    }
    expect_total(&queue, 30).await?;
    for delivery in &held[10..] {
        queue.release(&delivery.receipt, Duration::ZERO).await?;
    }
    expect_total(&queue, 30).await?;
    let other = crate::samples::lane("other");
    queue.ensure(&other).await?;
    ensure!(queue.stats(&other).await?.total() == 0, "another lane holds something");
    Ok(())
}
