//! Ten thousand messages, several senders and leasers at once, and a look at all that happened:
//! nothing is lost, held by two, or delivered after it was acknowledged.

use super::{Handle, QUIET, Store, expect_quiet, lane, message};
use crate::samples::id;
use crate::suite::{Suite, cases};
use anyhow::{bail, ensure};
use printmill_backend::queue::{Delivery, Message, Queue};
use printmill_domain::ids::TicketId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub(super) fn cases(suite: &mut Suite<dyn Queue>) {
    cases!(suite, "history", [ten_thousand_messages_have_a_history_that_holds]);
}

const SENDERS: usize = 4;
const LEASERS: usize = 6;
const MESSAGES: usize = 10_000;
/// What a holder asks for that will settle in time, however slow the machine.
const KEPT: Duration = Duration::from_secs(60);
/// What a holder asks for that will fall silent.
const DROPPED: Duration = Duration::from_millis(500);
/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(150);

/// A delivery: what is known for certain of when it was held. Its lease began after `asked`.
struct Held {
    ticket: TicketId,
    asked: Instant,
    got: Instant,
    ttl: Duration,
    /// When its holder began to give it up: nobody else may have it before.
    ended: Option<Instant>,
    /// When it was known to be acknowledged.
    acknowledged: Option<Instant>,
}

/// What all observers wrote down.
#[derive(Default)]
struct History {
    held: Vec<Held>,
    acknowledged: HashSet<TicketId>,
}

type Shared = Arc<Mutex<History>>;

fn written(history: &Shared) -> std::sync::MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ten_thousand_messages_have_a_history_that_holds(subject: Store) -> anyhow::Result<()> {
    let queue = subject.handle()?;
    let each = subject.volume(MESSAGES) / SENDERS;
    queue.ensure(&lane()).await?;
    let (history, began) = (Shared::default(), Instant::now());
    let mut running = JoinSet::new();
    let mut sent = HashSet::new();
    for sender in 0..SENDERS {
        let numbers = (sender * each)..((sender + 1) * each);
        let messages: Vec<Message> =
            numbers.map(|number| Message { ticket: id(number as i64), ..message() }).collect();
        sent.extend(messages.iter().map(|message| message.ticket));
        let queue = queue.clone();
        running.spawn(async move {
            for batch in messages.chunks(50) {
                for answer in queue.send(&lane(), batch).await {
                    answer?;
                }
            }
            anyhow::Ok(())
        });
    }
    for leaser in 0..LEASERS {
        let (queue, history) = (queue.clone(), history.clone());
        running.spawn(async move {
            let mut turn = leaser;
            while written(&history).acknowledged.len() < SENDERS * each {
                ensure!(began.elapsed() < LIMIT, "it takes too long");
                turn += 1;
                work(&queue, &history, turn).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    expect_quiet(&queue).await?;
    let history = std::mem::take(&mut *written(&history));
    ensure!(history.acknowledged == sent, "others were acknowledged than were sent");
    judge(history)
}

/// One round of a holder. Most do what they should; some hand back, some fall silent.
async fn work(queue: &Handle, history: &Shared, turn: usize) -> anyhow::Result<()> {
    let silent = turn.is_multiple_of(40);
    let (count, ttl) = if silent { (2, DROPPED) } else { (20, KEPT) };
    let asked = Instant::now();
    let leased = queue.lease(&lane(), count, ttl, QUIET).await?;
    let got = Instant::now();
    let new = |delivery: &Delivery| Held {
        ticket: delivery.ticket,
        asked,
        got,
        ttl,
        ended: None,
        acknowledged: None,
    };
    let first = {
        let mut history = written(history);
        history.held.extend(leased.iter().map(new));
        history.held.len() - leased.len()
    };
    if silent {
        return Ok(());
    }
    let settling = leased.iter().enumerate().map(async |(place, delivery)| {
        let hand_back = (turn + place).is_multiple_of(50);
        written(history).held[first + place].ended = Some(Instant::now());
        if hand_back {
            queue.release(&delivery.receipt, Duration::ZERO).await?;
            return anyhow::Ok(());
        }
        queue.ack(&delivery.receipt).await?;
        let mut history = written(history);
        history.held[first + place].acknowledged = Some(Instant::now());
        history.acknowledged.insert(delivery.ticket);
        Ok(())
    });
    futures::future::try_join_all(settling).await?;
    Ok(())
}

/// Looks at every message's deliveries, in the order in which they arrived.
fn judge(history: History) -> anyhow::Result<()> {
    let mut by_ticket: HashMap<TicketId, Vec<Held>> = HashMap::new();
    for held in history.held {
        by_ticket.entry(held.ticket).or_default().push(held);
    }
    for (ticket, mut held) in by_ticket {
        held.sort_by_key(|held| held.got);
        for pair in held.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let over = before.asked + before.ttl;
            let given_up = before.ended.is_some_and(|ended| ended <= after.got);
            if after.got < over && !given_up {
                bail!(
                    "{ticket} was delivered {:?} before a lease on it was over",
                    over - after.got
                );
            }
        }
        let acknowledged = held.iter().filter_map(|held| held.acknowledged).min();
        let Some(acknowledged) = acknowledged else { bail!("{ticket} was never acknowledged") };
        if let Some(late) = held.iter().find(|held| held.asked > acknowledged) {
            let later = late.asked - acknowledged;
            bail!("{ticket} was delivered to who asked {later:?} after it was acknowledged");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ticket: TicketId, from: u64, ended: Option<u64>, acknowledged: Option<u64>) -> Held {
        let start = *STARTED;
        let at = |second| start + Duration::from_secs(second);
        let (asked, ttl) = (at(from), Duration::from_secs(10));
        let got = asked + Duration::from_millis(1);
        Held { ticket, asked, got, ttl, ended: ended.map(at), acknowledged: acknowledged.map(at) }
    }

    static STARTED: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    fn judged(held: Vec<Held>) -> anyhow::Result<()> {
        judge(History { held, acknowledged: HashSet::new() })
    }

    #[test]
    fn only_histories_that_hold_are_let_pass() {
        let ticket = id(0);
        let fine = vec![
            held(ticket, 0, Some(5), None),
            held(ticket, 6, None, None),
            held(ticket, 17, Some(18), Some(19)),
        ];
        assert!(judged(fine).is_ok());
        let twice_held = vec![held(ticket, 0, None, None), held(ticket, 9, Some(9), Some(9))];
        assert!(judged(twice_held).unwrap_err().to_string().contains("before a lease"));
        let again = vec![held(ticket, 0, Some(1), Some(2)), held(ticket, 3, None, None)];
        assert!(judged(again).unwrap_err().to_string().contains("after it was acknowledged"));
        assert!(judged(vec![held(ticket, 0, None, None)]).is_err());
    }
}
