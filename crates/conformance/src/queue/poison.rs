//! A message that is never acknowledged keeps coming, and does not keep others.

use super::{Claims, FEW, LONG, PATIENCE, QUIET, SHORT, Store, expect_quiet, lane, message, send};
use crate::suite::{Suite, cases};
use anyhow::ensure;
use printmill_backend::queue::{Message, Queue};
use std::collections::HashSet;
use std::time::{Duration, Instant};

pub(super) fn cases(suite: &mut Suite<dyn Queue>, _claims: &Claims) {
    cases!(
        suite,
        "neighbours",
        safe FEW,
        [a_poisonous_message_keeps_coming, a_poisonous_message_keeps_nobody]
    );
}

/// How often the message that nobody can handle must come; more often than brokers count.
const TIMES: u32 = 25;

async fn a_poisonous_message_keeps_coming(subject: Store) -> anyhow::Result<()> {
    let (queue, poison) = (subject.handle()?, message());
    send(&queue, std::slice::from_ref(&poison)).await?;
    let mut last = 0;
    for time in 1..=TIMES {
        // Some holders hand it back, some die.
        let (ttl, dies) = if time % 5 == 0 { (SHORT / 3, true) } else { (LONG, false) };
        let leased = queue.lease(&lane(), 1, ttl, PATIENCE).await?;
        ensure!(leased.len() == 1, "it came {} times only", time - 1);
        let attempt = leased[0].attempt;
        let counted = if queue.caps().exact_attempts { attempt == time } else { attempt > last };
        ensure!(counted, "delivery {time} says that it is the {attempt}th, after the {last}th");
        last = attempt;
        if !dies {
            queue.release(&leased[0].receipt, Duration::ZERO).await?;
        }
    }
    Ok(())
}

async fn a_poisonous_message_keeps_nobody(subject: Store) -> anyhow::Result<()> {
    let (queue, poison) = (subject.handle()?, message());
    let neighbours: Vec<Message> = (0..30).map(|_| message()).collect();
    let mut waiting: HashSet<_> = neighbours.iter().map(|message| message.ticket).collect();
    send(&queue, std::slice::from_ref(&poison)).await?;
    send(&queue, &neighbours).await?;
    let (began, mut came) = (Instant::now(), 0);
    while !waiting.is_empty() {
        ensure!(began.elapsed() < PATIENCE, "{} others did not come", waiting.len());
        for delivery in queue.lease(&lane(), 3, LONG, QUIET).await? {
            if delivery.ticket == poison.ticket {
                came += 1;
                queue.release(&delivery.receipt, Duration::ZERO).await?;
            } else {
                queue.ack(&delivery.receipt).await?;
                waiting.remove(&delivery.ticket);
            }
        }
    }
    let last = queue.lease(&lane(), 3, LONG, PATIENCE).await?;
    ensure!(last.len() == 1 && last[0].ticket == poison.ticket, "{last:?} after {came} times");
    queue.ack(&last[0].receipt).await?;
    expect_quiet(&queue).await
}
