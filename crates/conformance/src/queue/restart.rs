//! The store stops and starts again under handles that stay open.

use super::{Claims, Handle, LONG, PATIENCE, QUIET, SHORT, Store, expect_quiet, lane, message};
use super::{once_back, send, take};
use crate::samples::id;
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::queue::{Message, Queue, SettleError};
use printmill_domain::ids::TicketId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Queue>, claims: &Claims) {
    cases!(suite, "restarts", if claims.restarts, [
        what_was_sent_is_there_and_handles_work_on,
        a_lease_from_before_is_no_failure,
        who_waits_is_served_afterwards,
        everything_arrives_when_it_happens_in_mid_run,
    ]);
}

/// Leases all that is there, until so many tickets came.
async fn take_all(queue: &Handle, count: usize) -> anyhow::Result<HashSet<TicketId>> {
    let (began, mut came) = (Instant::now(), HashSet::new());
    while came.len() < count && began.elapsed() < PATIENCE {
        let leased = once_back(|| async { queue.lease(&lane(), 50, LONG, QUIET).await }).await?;
        for delivery in leased {
            once_acknowledged(queue, &delivery.receipt).await?;
            came.insert(delivery.ticket);
        }
    }
    Ok(came)
}

/// Acknowledges, as callers do: what is lost comes again.
async fn once_acknowledged(
    queue: &Handle,
    receipt: &printmill_backend::queue::Receipt,
) -> anyhow::Result<()> {
    once_back(|| async {
        match queue.ack(receipt).await {
            Ok(()) | Err(SettleError::Lost) => Ok(()),
            Err(SettleError::Backend(error)) => Err(error),
        }
    })
    .await
}

async fn what_was_sent_is_there_and_handles_work_on(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let messages: Vec<Message> =
        (0..100).map(|number| Message { ticket: id(number), ..message() }).collect();
    send(&queue, &messages).await?;
    subject.restart().await?;
    let sent: HashSet<TicketId> = messages.iter().map(|message| message.ticket).collect();
    let came = take_all(&queue, sent.len()).await?;
    ensure!(came == sent, "{} of {} came", came.len(), sent.len());
    let after = message();
    once_back(|| async { queue.send(&lane(), std::slice::from_ref(&after)).await.remove(0) })
        .await?;
    let came = take_all(&queue, 1).await?;
    ensure!(came.contains(&after.ticket), "{came:?}");
    Ok(())
}

/// It may have survived or not; its message comes or is settled, and nothing fails for good.
async fn a_lease_from_before_is_no_failure(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    send(&queue, &[message()]).await?;
    let held = take(&queue, 10 * SHORT).await?;
    subject.restart().await?;
    once_acknowledged(&queue, &held.receipt).await?;
    for again in once_back(|| async { queue.lease(&lane(), 9, LONG, 12 * SHORT).await }).await? {
        ensure!(again.ticket == held.ticket, "{again:?}");
        queue.ack(&again.receipt).await?;
    }
    expect_quiet(&queue).await
}

async fn who_waits_is_served_afterwards(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let waiting = queue.clone();
    let waiter = tokio::spawn(async move {
        let began = Instant::now();
        loop {
            let leased =
                once_back(|| async { waiting.lease(&lane(), 1, LONG, PATIENCE).await }).await?;
            if !leased.is_empty() || began.elapsed() > PATIENCE {
                return anyhow::Ok(leased);
            }
        }
    });
    // It waits before the store goes.
    ensure!(queue.lease(&lane(), 1, LONG, QUIET).await?.is_empty());
    subject.restart().await?;
    let sent = message();
    once_back(|| async { queue.send(&lane(), std::slice::from_ref(&sent)).await.remove(0) })
        .await?;
    let served = waiter.await??;
    ensure!(served.iter().any(|delivery| delivery.ticket == sent.ticket), "{served:?}");
    Ok(())
}

/// How many messages are on their way while the store is restarted.
const MID_RUN: i64 = 1000;

async fn everything_arrives_when_it_happens_in_mid_run(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    queue.ensure(&lane()).await?;
    let messages: Vec<Message> =
        (0..MID_RUN).map(|number| Message { ticket: id(number), ..message() }).collect();
    let sent: HashSet<TicketId> = messages.iter().map(|message| message.ticket).collect();
    let arrived = Arc::new(Mutex::new(HashSet::new()));
    let count = |arrived: &Mutex<HashSet<TicketId>>| {
        arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    };
    let mut running = JoinSet::new();
    for _ in 0..3 {
        let (queue, arrived) = (queue.clone(), arrived.clone());
        running.spawn(async move {
            let began = Instant::now();
            while count(&arrived) < MID_RUN as usize && began.elapsed() < 4 * PATIENCE {
                let lease = || async { queue.lease(&lane(), 10, LONG / 20, QUIET).await };
                for delivery in once_back(lease).await? {
                    once_acknowledged(&queue, &delivery.receipt).await?;
                    arrived.lock().unwrap_or_else(PoisonError::into_inner).insert(delivery.ticket);
                }
            }
            anyhow::Ok(())
        });
    }
    let sender = queue.clone();
    running.spawn(async move {
        for batch in messages.chunks(20) {
            for message in batch {
                let one = std::slice::from_ref(message);
                once_back(|| async { sender.send(&lane(), one).await.remove(0) }).await?;
            }
        }
        anyhow::Ok(())
    });
    // Some have arrived, and more are on their way.
    let began = Instant::now();
    while count(&arrived) < 50 && began.elapsed() < PATIENCE {
        tokio::task::yield_now().await;
    }
    subject.restart().await?;
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(arrived == sent, "{} of {} arrived", arrived.len(), sent.len());
    Ok(())
}
