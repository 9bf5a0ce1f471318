//! The queue, worse than any real one: it repeats, reorders, delays, delivers what is leased,
//! takes acknowledgements from anybody and forgets them, counts badly, and loses everything when
//! told to.

use crate::history::What;
use crate::locked;
use crate::process::Process;
use async_trait::async_trait;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const CAPS: QueueCaps = QueueCaps {
    name: "simulation",
    delay_max: Duration::from_secs(15 * 60),
    lease_max: Duration::from_secs(12 * 60 * 60),
    settled_by: SettledBy::Anyone,
    fenced_settle: false,
    exact_attempts: false,
    dedup: Dedup::None,
    payload_max: 64 * 1024,
    exact_stats: false,
    counted: Counted::Everything,
    durability: Durability::Memory,
    shared: true,
};

/// What the queue holds.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    lanes: Mutex<Lanes>,
    /// Wakes those who wait for a message of a lane.
    moved: Mutex<BTreeMap<Lane, Arc<Notify>>>,
}

#[derive(Debug, Default)]
struct Lanes {
    copies: BTreeMap<Lane, BTreeMap<u64, Copy>>,
    /// Numbers every copy of a message.
    last: u64,
}

/// One copy of a message.
#[derive(Debug)]
struct Copy {
    ticket: TicketId,
    trace: Option<String>,
    attempt: u32,
    /// From when it can be delivered; a lease moves it on.
    visible: Instant,
    leased: bool,
}

impl Broker {
    /// Forgets everything in a lane, or in all of them.
    pub(crate) fn wipe(&self, lane: Option<&Lane>) {
        let copies = &mut locked(&self.lanes).copies;
        match lane {
            Some(lane) => drop(copies.remove(lane)),
            None => copies.clear(),
        }
    }

    pub(crate) fn lanes(&self) -> Vec<Lane> {
        locked(&self.lanes).copies.keys().cloned().collect()
    }

    fn moved(&self, lane: &Lane) -> Arc<Notify> {
        locked(&self.moved).entry(lane.clone()).or_default().clone()
    }

    fn add(&self, lane: &Lane, message: &Message, visible: Instant) {
        let mut lanes = locked(&self.lanes);
        lanes.last += 1;
        let number = lanes.last;
        let (ticket, trace) = (message.ticket, message.trace.clone());
        let copy = Copy { ticket, trace, attempt: 0, visible, leased: false };
        lanes.copies.entry(lane.clone()).or_default().insert(number, copy);
    }

    /// Changes a copy, whoever holds it; nothing when it is gone.
    fn settle(&self, receipt: &Receipt, settle: impl FnOnce(&mut BTreeMap<u64, Copy>, u64)) {
        let mut lanes = locked(&self.lanes);
        let copies = lanes.copies.get_mut(&receipt.lane);
        // Every delivery has a receipt of its own, and each of a copy's is as good as the last.
        let number = receipt.handle.split_once('.').and_then(|(number, _)| number.parse().ok());
        if let (Some(copies), Some(number)) = (copies, number) {
            settle(copies, number);
        }
        drop(lanes);
        self.moved(&receipt.lane).notify_waiters();
    }
}

fn beyond(operation: &'static str) -> BackendError {
    BackendError::new(Fault::Rejected, CAPS.name, operation, "beyond what it can do")
}

fn within(time: Duration, most: Duration, operation: &'static str) -> Result<(), BackendError> {
    if time <= most { Ok(()) } else { Err(beyond(operation)) }
}

/// A process's connection to the queue.
pub(crate) struct SimulatedQueue {
    process: Arc<Process>,
    /// Whether what is sent was chosen because it was its turn.
    relays: bool,
}

impl SimulatedQueue {
    pub(crate) fn of(process: &Arc<Process>) -> Self {
        Self { process: process.clone(), relays: false }
    }

    /// The connection of a relay.
    pub(crate) fn of_relay(process: &Arc<Process>) -> Self {
        Self { process: process.clone(), relays: true }
    }

    fn broker(&self) -> &Broker {
        &self.process.site.broker
    }

    /// What can be delivered now, in any order, and when there will be more.
    fn take(&self, lane: &Lane, count: u16, ttl: Duration) -> (Vec<Delivery>, Option<Instant>) {
        let site = &self.process.site;
        let mut lanes = locked(&self.broker().lanes);
        let Some(copies) = lanes.copies.get_mut(lane) else { return (vec![], None) };
        let now = Instant::now();
        let mut taken = vec![];
        while taken.len() < usize::from(count) {
            let visible = copies.iter_mut().filter(|(_, copy)| copy.visible <= now);
            let mut visible: Vec<_> = visible.collect();
            if visible.is_empty() {
                break;
            }
            let at = if site.is_calm() { 0 } else { site.chance.index(visible.len()) };
            let (number, copy) = &mut visible[at];
            let short = site.strikes(site.weather.short_lease);
            let ttl = if short { ttl.min(site.chance.millis(1..=3_000)) } else { ttl };
            copy.visible = now + ttl;
            copy.leased = true;
            copy.attempt += 1;
            taken.push(Delivery {
                ticket: copy.ticket,
                trace: copy.trace.clone(),
                attempt: copy.attempt,
                receipt: Receipt {
                    lane: lane.clone(),
                    handle: format!("{number}.{}", copy.attempt),
                },
            });
        }
        (taken, copies.values().map(|copy| copy.visible).min())
    }
}

#[async_trait]
impl Queue for SimulatedQueue {
    fn caps(&self) -> &QueueCaps {
        &CAPS
    }

    async fn ensure(&self, _: &Lane) -> Result<(), BackendError> {
        self.process.step().await;
        self.process.fails(self.process.site.weather.call, "ensure a lane", "before")
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let site = &self.process.site;
        self.process.step().await;
        let mut answers = vec![];
        for message in messages {
            let fits = message.delay <= CAPS.delay_max
                && message.trace.as_ref().is_none_or(|trace| trace.len() <= CAPS.payload_max);
            let taken = match fits {
                true => self.process.fails(site.weather.call, "send", "before"),
                false => Err(beyond("send")),
            };
            if let Err(error) = taken {
                answers.push(Err(error));
                continue;
            }
            let copies = if site.strikes(site.weather.duplicate) { 2 } else { 1 };
            for _ in 0..copies {
                let late = site.strikes(site.weather.delay);
                let late = if late { site.chance.millis(1..=20_000) } else { Duration::ZERO };
                self.broker().add(lane, message, Instant::now() + message.delay + late);
            }
            let answer = self.process.fails(site.weather.call, "send", "after");
            if self.relays && answer.is_ok() {
                self.process.record(What::HandedOver(message.ticket));
            }
            answers.push(answer);
        }
        self.broker().moved(lane).notify_waiters();
        self.process.step().await;
        answers
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        let site = &self.process.site;
        self.process.step().await;
        within(ttl, CAPS.lease_max, "lease")?;
        self.process.fails(site.weather.call, "lease", "before")?;
        let deadline = Instant::now() + wait;
        let woken = self.broker().moved(lane);
        loop {
            let mut moved = std::pin::pin!(woken.notified());
            moved.as_mut().enable();
            let (taken, next) = self.take(lane, count, ttl);
            if !taken.is_empty() {
                self.process.record(What::Took { lane: lane.clone(), count: taken.len() });
            }
            if !taken.is_empty() || Instant::now() >= deadline {
                self.process.fails(site.weather.call, "lease", "after")?;
                self.process.step().await;
                return Ok(taken);
            }
            let wake = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                biased;
                () = moved => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.process.step().await;
        within(ttl, CAPS.lease_max, "extend")?;
        self.process.fails(self.process.site.weather.call, "extend", "before")?;
        self.broker().settle(receipt, |copies, number| {
            if let Some(copy) = copies.get_mut(&number) {
                copy.visible = Instant::now() + ttl;
            }
        });
        self.process.step().await;
        Ok(())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        let site = &self.process.site;
        self.process.step().await;
        self.process.fails(site.weather.call, "ack", "before")?;
        if !site.strikes(site.weather.forgotten_ack) {
            self.broker().settle(receipt, |copies, number| drop(copies.remove(&number)));
        }
        self.process.step().await;
        Ok(())
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        self.process.step().await;
        within(delay, CAPS.delay_max, "release")?;
        self.process.fails(self.process.site.weather.call, "release", "before")?;
        self.broker().settle(receipt, |copies, number| {
            if let Some(copy) = copies.get_mut(&number) {
                copy.visible = Instant::now() + delay;
                copy.leased = false;
            }
        });
        self.process.step().await;
        Ok(())
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        self.process.step().await;
        self.process.fails(self.process.site.weather.call, "count", "before")?;
        let mut stats = QueueStats::default();
        let now = Instant::now();
        for copy in
            locked(&self.broker().lanes).copies.get(lane).into_iter().flat_map(|c| c.values())
        {
            match copy.leased {
                _ if copy.visible <= now => stats.ready += 1,
                true => stats.in_flight += 1,
                false => stats.delayed += 1,
            }
        }
        // Some brokers only guess.
        if self.process.site.strikes(200) {
            stats.ready = self.process.site.chance.between(0..=2 * stats.ready + 1);
        }
        self.process.step().await;
        Ok(stats)
    }
}
