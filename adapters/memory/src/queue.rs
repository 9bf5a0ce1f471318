//! A queue in memory, on tokio's clock, so that tests may stop and move its time.

use crate::config::MemoryConfig;
use crate::error::MemoryError;
use crate::locked;
use async_trait::async_trait;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const CAPS: QueueCaps = QueueCaps {
    name: "memory",
    delay_max: DAY.saturating_mul(30),
    lease_max: DAY,
    settled_by: SettledBy::Anyone,
    fenced_settle: true,
    exact_attempts: true,
    dedup: Dedup::WhilePresent,
    payload_max: 64 * 1024,
    exact_stats: true,
    counted: Counted::Everything,
    durability: Durability::Memory,
    shared: false,
};

/// A queue in memory. Share it with an `Arc`.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    lanes: Mutex<HashMap<Lane, Messages>>,
    moved: Notify,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, like a broker whose disk is lost.
    pub fn wipe(&self) {
        locked(&self.lanes).clear();
    }

    fn settle(
        &self,
        receipt: &Receipt,
        settled: impl FnOnce(&mut Messages, TicketId),
    ) -> Result<(), SettleError> {
        let mut lanes = locked(&self.lanes);
        let messages = lanes.get_mut(&receipt.lane).ok_or(SettleError::Lost)?;
        let ticket = messages.holder(&receipt.handle).ok_or(SettleError::Lost)?;
        settled(messages, ticket);
        drop(lanes);
        self.moved.notify_waiters();
        Ok(())
    }

    fn take(&self, lane: &Lane, count: u16, ttl: Duration) -> (Vec<Delivery>, Option<Instant>) {
        let mut lanes = locked(&self.lanes);
        let Some(messages) = lanes.get_mut(lane) else { return (vec![], None) };
        let now = Instant::now();
        let taken = (0..count).map_while(|_| messages.lease(lane, ttl, now)).collect();
        (taken, messages.line.keys().next().map(|place| place.0))
    }
}

/// An empty queue, by address: `memory://`.
pub fn open_queue(url: &str) -> Result<MemoryQueue, MemoryError> {
    MemoryConfig::from_url(url).map(|MemoryConfig| MemoryQueue::new())
}

/// When a message can be delivered next, and its turn among those of the same time.
type Place = (Instant, u64);

/// The messages of one lane, in the order of their delivery.
#[derive(Debug, Default)]
struct Messages {
    line: BTreeMap<Place, TicketId>,
    by_ticket: HashMap<TicketId, Waiting>,
    /// Numbers every place in the line; a lease is proved by the number of its place.
    turns: u64,
}

#[derive(Debug)]
struct Waiting {
    trace: Option<String>,
    attempt: u32,
    place: Place,
    /// The lease that holds it, or held it last and may still settle it.
    lease: Option<u64>,
}

impl Messages {
    fn add(&mut self, message: &Message) {
        if self.by_ticket.contains_key(&message.ticket) {
            return;
        }
        let place = self.enter(message.ticket, Instant::now() + message.delay);
        let waiting = Waiting { trace: message.trace.clone(), attempt: 0, place, lease: None };
        self.by_ticket.insert(message.ticket, waiting);
    }

    fn enter(&mut self, ticket: TicketId, at: Instant) -> Place {
        self.turns += 1;
        let place = (at, self.turns);
        self.line.insert(place, ticket);
        place
    }

    fn lease(&mut self, lane: &Lane, ttl: Duration, now: Instant) -> Option<Delivery> {
        let (place, ticket) =
            self.line.first_key_value().map(|(place, ticket)| (*place, *ticket))?;
        if place.0 > now {
            return None;
        }
        let place = self.relocate(ticket, now + ttl)?;
        let waiting = self.by_ticket.get_mut(&ticket)?;
        waiting.attempt = waiting.attempt.saturating_add(1);
        waiting.lease = Some(place.1);
        Some(Delivery {
            ticket,
            trace: waiting.trace.clone(),
            attempt: waiting.attempt,
            receipt: Receipt { lane: lane.clone(), handle: format!("{ticket}/{}", place.1) },
        })
    }

    fn relocate(&mut self, ticket: TicketId, at: Instant) -> Option<Place> {
        let old = self.by_ticket.get(&ticket)?.place;
        self.line.remove(&old);
        let place = self.enter(ticket, at);
        self.by_ticket.get_mut(&ticket)?.place = place;
        Some(place)
    }

    fn release(&mut self, ticket: TicketId, delay: Duration) {
        self.relocate(ticket, Instant::now() + delay);
        if let Some(waiting) = self.by_ticket.get_mut(&ticket) {
            waiting.lease = None;
        }
    }

    fn remove(&mut self, ticket: TicketId) {
        if let Some(waiting) = self.by_ticket.remove(&ticket) {
            self.line.remove(&waiting.place);
        }
    }

    /// The ticket that a receipt still holds.
    fn holder(&self, handle: &str) -> Option<TicketId> {
        let (ticket, lease) = handle.split_once('/')?;
        let (ticket, lease) = (ticket.parse().ok()?, lease.parse().ok()?);
        (self.by_ticket.get(&ticket)?.lease == Some(lease)).then_some(ticket)
    }
}

fn refused(operation: &'static str, detail: String) -> BackendError {
    BackendError::new(Fault::Rejected, CAPS.name, operation, detail)
}

fn check_delay(operation: &'static str, delay: Duration) -> Result<(), BackendError> {
    if delay <= CAPS.delay_max {
        return Ok(());
    }
    Err(refused(operation, format!("{delay:?} is longer than {:?}", CAPS.delay_max)))
}

fn check_lease(operation: &'static str, ttl: Duration) -> Result<(), BackendError> {
    if ttl <= CAPS.lease_max {
        return Ok(());
    }
    Err(refused(operation, format!("{ttl:?} is longer than {:?}", CAPS.lease_max)))
}

fn check_message(message: &Message) -> Result<(), BackendError> {
    let size = message.trace.as_ref().map_or(0, String::len);
    if size > CAPS.payload_max {
        let detail = format!("{size} bytes are more than {}", CAPS.payload_max);
        return Err(refused("send a message", detail));
    }
    check_delay("send a message", message.delay)
}

#[async_trait]
impl Queue for MemoryQueue {
    fn caps(&self) -> &QueueCaps {
        &CAPS
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        locked(&self.lanes).entry(lane.clone()).or_default();
        Ok(())
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let mut lanes = locked(&self.lanes);
        let waiting = lanes.entry(lane.clone()).or_default();
        let answers = messages.iter().map(|message| {
            check_message(message)?;
            waiting.add(message);
            Ok(())
        });
        let answers = answers.collect();
        drop(lanes);
        self.moved.notify_waiters();
        answers
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        check_lease("lease messages", ttl)?;
        // Longer than anybody waits, and short enough to be a point in time.
        let deadline = Instant::now() + wait.min(CAPS.delay_max);
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let (taken, next) = self.take(lane, count, ttl);
            if !taken.is_empty() || count == 0 || Instant::now() >= deadline {
                return Ok(taken);
            }
            let wake = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                () = moved => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        check_lease("extend a lease", ttl)?;
        self.settle(receipt, |messages, ticket| {
            messages.relocate(ticket, Instant::now() + ttl);
        })
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        self.settle(receipt, Messages::remove)
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        check_delay("release a message", delay)?;
        self.settle(receipt, |messages, ticket| messages.release(ticket, delay))
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        let lanes = locked(&self.lanes);
        let mut stats = QueueStats::default();
        let now = Instant::now();
        for waiting in lanes.get(lane).into_iter().flat_map(|lane| lane.by_ticket.values()) {
            match waiting.lease {
                _ if waiting.place.0 <= now => stats.ready += 1,
                Some(_) => stats.in_flight += 1,
                None => stats.delayed += 1,
            }
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_domain::ids::Id;

    #[tokio::test(start_paused = true)]
    async fn its_time_is_tokios_which_tests_may_stop() -> Result<(), BackendError> {
        let (queue, lane, began) = (MemoryQueue::new(), Lane::express(), Instant::now());
        let ticket = TicketId::from_uuid(Default::default());
        for answer in queue.send(&lane, &[Message { ticket, trace: None, delay: DAY }]).await {
            answer?;
        }
        assert_eq!(queue.lease(&lane, 1, DAY, DAY / 2).await?.len(), 0);
        assert_eq!(queue.lease(&lane, 1, DAY, DAY).await?.len(), 1);
        assert_eq!(began.elapsed().as_secs(), DAY.as_secs());
        assert_eq!(queue.lease(&lane, 1, DAY, 2 * DAY).await?[0].attempt, 2);
        Ok(())
    }
}
