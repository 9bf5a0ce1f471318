//! A message that was sent is delivered until it is acknowledged, from its own lane.

use super::{Claims, FEW, LONG, PATIENCE, QUIET, SHORT, Store, expect_quiet, expect_ticket, lane};
use super::{message, send, take};
use crate::samples::id;
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use printmill_backend::queue::{Message, Queue};
use printmill_domain::ids::TicketId;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(
        suite,
        "at_least_once",
        safe FEW,
        [
            a_message_is_delivered_until_it_is_acknowledged,
            a_trace_arrives_as_it_was_sent,
        ]
    );
    cases!(suite, "at_least_once", [two_thousand_messages_reach_several_consumers]);
    cases!(suite, "at_least_once", safe FEW, if claims.caps.exact_attempts, [attempts_count_from_one]);
    cases!(
        suite,
        "lanes",
        safe FEW,
        [
            a_message_stays_in_its_lane,
            the_same_ticket_may_wait_in_two_lanes,
            ensuring_a_lane_again_is_harmless,
        ]
    );
    cases!(
        suite,
        "waiting",
        safe FEW,
        [
            returns_as_soon_as_there_is_a_message,
            returns_empty_after_the_wait,
            returns_at_once_without_a_wait,
            takes_no_more_than_asked,
        ]
    );
}

async fn a_message_is_delivered_until_it_is_acknowledged(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    for _ in 0..3 {
        expect_ticket(&take(&queue, SHORT).await?, sent.ticket)?;
    }
    let last = take(&queue, LONG).await?;
    queue.ack(&last.receipt).await?;
    expect_quiet(&queue).await
}

async fn two_thousand_messages_reach_several_consumers(subject: Store) -> anyhow::Result<()> {
    let (queue, volume) = (subject.handle()?, subject.volume(2000));
    let messages: Vec<Message> =
        (0..volume).map(|number| Message { ticket: id(number as i64), ..message() }).collect();
    let sent: HashSet<TicketId> = messages.iter().map(|message| message.ticket).collect();
    let arrived = Arc::new(Mutex::new(HashSet::new()));
    queue.ensure(&lane()).await?;
    let mut consumers = JoinSet::new();
    for _ in 0..4 {
        let (queue, arrived) = (queue.clone(), arrived.clone());
        consumers.spawn(async move {
            let started = Instant::now();
            while started.elapsed() < 2 * PATIENCE {
                // All at once, as workers do: some queues settle several in one request.
                let deliveries = queue.lease(&lane(), 25, LONG, QUIET).await?;
                let acks = deliveries.iter().map(|delivery| queue.ack(&delivery.receipt));
                futures::future::try_join_all(acks).await?;
                let tickets = deliveries.iter().map(|delivery| delivery.ticket);
                arrived.lock().expect("no consumer panics").extend(tickets);
                if arrived.lock().expect("no consumer panics").len() == volume {
                    break;
                }
            }
            anyhow::Ok(())
        });
    }
    for batch in messages.chunks(100) {
        send(&queue, batch).await?;
    }
    while let Some(consumer) = consumers.join_next().await {
        consumer??;
    }
    let arrived = arrived.lock().expect("no consumer panics").clone();
    ensure!(arrived == sent, "{} of {volume} messages arrived", arrived.len());
    expect_quiet(&queue).await
}

async fn a_trace_arrives_as_it_was_sent(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    for trace in [Some(trace), None] {
        send(&queue, &[Message { trace: trace.clone(), ..message() }]).await?;
        let delivery = take(&queue, LONG).await?;
        ensure!(delivery.trace == trace, "{:?} instead of {trace:?}", delivery.trace);
        queue.ack(&delivery.receipt).await?;
    }
    Ok(())
}

async fn attempts_count_from_one(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    for attempt in 1..=4 {
        let ttl = if attempt == 2 { SHORT } else { LONG };
        let delivery = take(&queue, ttl).await?;
        ensure!(delivery.attempt == attempt, "{} instead of {attempt}", delivery.attempt);
        if attempt != 2 {
            queue.release(&delivery.receipt, Duration::ZERO).await?;
        }
    }
    Ok(())
}

async fn a_message_stays_in_its_lane(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    let other = crate::samples::lane("other");
    queue.ensure(&other).await?;
    send(&queue, std::slice::from_ref(&sent)).await?;
    let stray = queue.lease(&other, 10, LONG, QUIET).await?;
    ensure!(stray.is_empty(), "another lane delivers {stray:?}");
    expect_ticket(&take(&queue, LONG).await?, sent.ticket)
}

async fn the_same_ticket_may_wait_in_two_lanes(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    let other = crate::samples::lane("other");
    queue.ensure(&other).await?;
    send(&queue, std::slice::from_ref(&sent)).await?;
    for answer in queue.send(&other, std::slice::from_ref(&sent)).await {
        answer?;
    }
    queue.ack(&take(&queue, LONG).await?.receipt).await?;
    let left = queue.lease(&other, 10, LONG, PATIENCE).await?;
    ensure!(left.len() == 1, "the other lane delivers {left:?}");
    ensure!(left[0].receipt.lane == other, "{:?}", left[0].receipt);
    Ok(())
}

async fn ensuring_a_lane_again_is_harmless(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&sent)).await?;
    queue.ensure(&lane()).await?;
    queue.ensure(&lane()).await?;
    expect_ticket(&take(&queue, LONG).await?, sent.ticket)
}

async fn returns_as_soon_as_there_is_a_message(subject: Store) -> anyhow::Result<()> {
    let (queue, sent) = (subject.handle()?, message());
    queue.ensure(&lane()).await?;
    let name = lane();
    let mut lease = pin!(queue.lease(&name, 1, LONG, PATIENCE));
    // It is waiting before the message is sent.
    let early = tokio::time::timeout(QUIET, lease.as_mut()).await;
    ensure!(early.is_err(), "it did not wait: {early:?}");
    let began = Instant::now();
    let (deliveries, sending) = tokio::join!(lease, send(&queue, std::slice::from_ref(&sent)));
    sending?;
    let waited = began.elapsed();
    expect_ticket(deliveries?.first().context("it waited in vain")?, sent.ticket)?;
    ensure!(waited < PATIENCE / 4, "it took {waited:?}");
    Ok(())
}

async fn returns_empty_after_the_wait(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let began = Instant::now();
    let deliveries = queue.lease(&lane(), 1, LONG, SHORT).await?;
    let waited = began.elapsed();
    ensure!(deliveries.is_empty(), "{deliveries:?}");
    ensure!(waited >= SHORT && waited < PATIENCE, "it took {waited:?}");
    Ok(())
}

async fn returns_at_once_without_a_wait(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let began = Instant::now();
    let deliveries = queue.lease(&lane(), 1, LONG, Duration::ZERO).await?;
    let waited = began.elapsed();
    ensure!(deliveries.is_empty() && waited < PATIENCE / 4, "{deliveries:?} after {waited:?}");
    Ok(())
}

async fn takes_no_more_than_asked(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let messages: Vec<_> = (0..5).map(|_| message()).collect();
    send(&queue, &messages).await?;
    let mut taken = HashSet::new();
    while taken.len() < 5 {
        let deliveries = queue.lease(&lane(), 2, LONG, PATIENCE).await?;
        ensure!((1..=2).contains(&deliveries.len()), "{} at once", deliveries.len());
        taken.extend(deliveries.into_iter().map(|delivery| delivery.ticket));
    }
    Ok(())
}
