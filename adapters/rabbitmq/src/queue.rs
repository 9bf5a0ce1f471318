//! The queue's contract on RabbitMQ.

use crate::config::RabbitMqConfig;
use crate::delay::DELAY_MAX;
use crate::error::{RABBITMQ, rejected, unavailable};
use crate::held::{Extension, Held, Holding};
use crate::link::{Link, Published};
use crate::message::{Stored, returns};
use async_trait::async_trait;
use futures::future::join_all;
use lapin::message::Delivery as Delivered;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_backend::{BackendError, fresh};
use printmill_domain::lane::Lane;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const SEND: &str = "send a message";
const LEASE: &str = "lease messages";
/// The largest payload.
const PAYLOAD_MAX: usize = 64 * 1024;
/// How long to try to connect again before it is an error.
const BACK_LIMIT: Duration = Duration::from_secs(3);
const BACK_PAUSE: Duration = Duration::from_millis(200);
/// The longest that the server is asked to wait at once.
const SLICE: Duration = Duration::from_secs(30);
/// A message that went back so often is sent anew: RabbitMQ 4 drops it at the twentieth time.
const RETURNS_MAX: u32 = 10;

/// A queue on RabbitMQ, which any number of processes may share. Share a handle by cloning it:
/// what it leases belongs to it and its clones.
///
/// It connects again by itself. Queues that were lost are made again at their next use, empty.
#[derive(Clone)]
pub struct RabbitMqQueue {
    caps: QueueCaps,
    shared: Arc<Shared>,
}

struct Shared {
    config: RabbitMqConfig,
    /// Tells this handle's receipts from others'.
    own: String,
    link: tokio::sync::Mutex<Arc<Link>>,
    holding: Holding,
    /// How long a message may be held in all.
    held_max: Duration,
}

/// What the queue can do on a server with this `consumer_timeout`. It is the same for all versions
/// that will do.
pub fn capabilities(consumer_timeout: Duration) -> QueueCaps {
    QueueCaps {
        name: RABBITMQ,
        delay_max: DELAY_MAX,
        lease_max: held_max(consumer_timeout) / 2,
        settled_by: SettledBy::Holder,
        fenced_settle: true,
        exact_attempts: false,
        dedup: Dedup::None,
        payload_max: PAYLOAD_MAX,
        exact_stats: false,
        counted: Counted::ReadyAndOwn,
        durability: Durability::Synced,
        shared: true,
    }
}

/// How long a message is held in all: well before the server takes it away and closes the channel
/// for it.
fn held_max(consumer_timeout: Duration) -> Duration {
    consumer_timeout / 6 * 5
}

impl RabbitMqQueue {
    /// Opens the queue at an address like `amqp://user:password@host:5672/vhost`; see
    /// [`RabbitMqConfig::from_url`]. Queues are made where there are none.
    ///
    /// Fails with `Rejected`, saying what to change, for an address that is none, credentials or a
    /// virtual host that the server refuses, TLS that does not verify, a server before 3.10, and
    /// a queue of another type under one of its names; with `Unavailable` when no server answers.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        let config = RabbitMqConfig::from_url(url)?;
        let link = Link::open(&config).await?;
        for lane in Lane::internal() {
            link.ensure(&lane).await?;
        }
        link.try_delays().await?;
        let held_max = held_max(config.consumer_timeout);
        let caps = capabilities(config.consumer_timeout);
        let own = fresh::bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let link = tokio::sync::Mutex::new(Arc::new(link));
        let shared = Shared { config, own, link, holding: Holding::default(), held_max };
        Ok(Self { caps, shared: Arc::new(shared) })
    }

    fn check_message(&self, message: &Message) -> Result<(), BackendError> {
        within(SEND, "delay", message.delay, self.caps.delay_max)?;
        let size = message.trace.as_ref().map_or(0, String::len);
        if size > self.caps.payload_max {
            let detail = format!("{size} bytes are more than {}", self.caps.payload_max);
            return Err(rejected(SEND, detail));
        }
        Ok(())
    }

    /// The number of a receipt of this handle.
    fn number(&self, receipt: &Receipt) -> Result<u64, SettleError> {
        let (own, number) = receipt.handle.split_once('.').ok_or(SettleError::Lost)?;
        let number = Some(number).filter(|_| own == self.shared.own);
        number.and_then(|number| number.parse().ok()).ok_or(SettleError::Lost)
    }
}

fn within(
    operation: &'static str,
    what: &str,
    wanted: Duration,
    longest: Duration,
) -> Result<(), BackendError> {
    if wanted <= longest {
        return Ok(());
    }
    Err(rejected(operation, format!("a {what} of {wanted:?} is longer than {longest:?}")))
}

impl Shared {
    /// The connection; another one when it is lost.
    async fn link(&self) -> Result<Arc<Link>, BackendError> {
        let mut link = self.link.lock().await;
        let began = Instant::now();
        while !link.is_up() {
            match Link::open(&self.config).await {
                Ok(opened) => *link = Arc::new(opened),
                Err(error) if !error.retryable() || began.elapsed() > BACK_LIMIT => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(BACK_PAUSE).await,
            }
        }
        Ok(link.clone())
    }

    /// Publishes all, then waits until all are stored. Queues that are gone are made again.
    async fn publish(
        &self,
        lane: &Lane,
        messages: &[(Stored, Duration)],
    ) -> Vec<Result<(), BackendError>> {
        let refuse = |error: &BackendError| {
            let copy = BackendError::new(error.fault, RABBITMQ, SEND, error.detail.clone());
            messages.iter().map(|_| Err(repeat(&copy))).collect()
        };
        let link = match self.link().await {
            Ok(link) => link,
            Err(error) => return refuse(&error),
        };
        if let Err(error) = link.lane(lane).await {
            return refuse(&error);
        }
        let mut waiting = Vec::with_capacity(messages.len());
        for (stored, delay) in messages {
            waiting.push(link.publish(lane, stored, *delay).await);
        }
        let confirmed = waiting.into_iter().map(async |published| link.confirmed(published?).await);
        let outcomes = join_all(confirmed).await;
        let mut answers = Vec::with_capacity(messages.len());
        for (outcome, (stored, delay)) in outcomes.into_iter().zip(messages) {
            answers.push(match outcome {
                Ok(Published::Stored) => Ok(()),
                Ok(Published::NoQueue) => self.publish_anew(&link, lane, stored, *delay).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Publishes a message whose queue was gone.
    async fn publish_anew(
        &self,
        link: &Link,
        lane: &Lane,
        stored: &Stored,
        delay: Duration,
    ) -> Result<(), BackendError> {
        link.forget(lane);
        link.forget_delays();
        link.ensure(lane).await?;
        let published = link.publish(lane, stored, delay).await?;
        match link.confirmed(published).await? {
            Published::Stored => Ok(()),
            Published::NoQueue => Err(unavailable(SEND, "there is no queue for it", lane.as_str())),
        }
    }

    async fn lease(
        self: &Arc<Self>,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        let deadline = Instant::now() + wait.min(DELAY_MAX);
        let mut anew = false;
        loop {
            let link = self.link().await?;
            let left = deadline.saturating_duration_since(Instant::now());
            match link.take(lane, count, left.min(SLICE)).await {
                Ok(delivered) => {
                    let held =
                        delivered.into_iter().map(|delivered| self.hold(delivered, lane, ttl));
                    let leased: Vec<Delivery> =
                        join_all(held).await.into_iter().flatten().collect();
                    if !leased.is_empty() || Instant::now() >= deadline {
                        return Ok(leased);
                    }
                }
                // The queue is gone, and its channel with it: once more, with new ones.
                Err(_) if !anew => {
                    anew = true;
                    link.forget(lane);
                }
                Err(error) => {
                    return Err(unavailable(LEASE, "the server does not give any", error));
                }
            }
        }
    }

    /// Begins the lease of a delivery.
    async fn hold(
        self: &Arc<Self>,
        delivered: Delivered,
        lane: &Lane,
        ttl: Duration,
    ) -> Option<Delivery> {
        let Delivered { properties, data, acker, .. } = delivered;
        let Some(stored) = Stored::read(&properties, &data) else {
            tracing::warn!(%lane, "removed a message that is not ours");
            let _ = acker.ack(BasicAckOptions::default()).await;
            return None;
        };
        let (ticket, trace) = (stored.ticket, stored.trace.clone());
        let (returns, since) = (returns(&properties), Instant::now());
        let held = Held { lane: lane.clone(), stored, acker, returns, since, end: None };
        let attempt = held.attempt();
        let number = self.holding.add(held);
        self.end_after(number, ttl);
        let receipt = Receipt { lane: lane.clone(), handle: format!("{}.{number}", self.own) };
        Some(Delivery { ticket, trace, attempt, receipt })
    }

    /// Lets a lease end so long from now.
    fn end_after(self: &Arc<Self>, number: u64, ttl: Duration) {
        let (shared, until): (Weak<Self>, _) = (Arc::downgrade(self), Instant::now() + ttl);
        let end = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let Some(shared) = shared.upgrade() else { return };
            // What cannot be given back is given back by the server, with the connection.
            tokio::spawn(async move { shared.give_back(number, Duration::ZERO).await });
        });
        self.holding.set_end(number, end.abort_handle());
    }

    /// Ends a lease: its message is delivered again after a delay.
    async fn give_back(&self, number: u64, delay: Duration) -> Result<(), SettleError> {
        let held = self.holding.remove(number).ok_or(SettleError::Lost)?;
        if delay.is_zero() && held.returns < RETURNS_MAX {
            let requeue = BasicNackOptions { requeue: true, ..Default::default() };
            return settled(held.acker.nack(requeue).await);
        }
        let copy = Stored { attempts: held.attempt(), ..held.stored.clone() };
        let sent = self.publish(&held.lane, &[(copy, delay)]).await.pop();
        match sent {
            Some(Ok(())) => settled(held.acker.ack(BasicAckOptions::default()).await),
            failed => {
                let requeue = BasicNackOptions { requeue: true, ..Default::default() };
                let _ = held.acker.nack(requeue).await;
                match failed {
                    Some(Err(error)) => Err(error.into()),
                    _ => Err(SettleError::Lost),
                }
            }
        }
    }
}

/// Whether the server was told: it is not when the channel of the delivery is gone.
fn settled(answer: lapin::Result<bool>) -> Result<(), SettleError> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(SettleError::Lost),
    }
}

fn repeat(error: &BackendError) -> BackendError {
    BackendError::new(error.fault, RABBITMQ, SEND, error.detail.clone())
}

#[async_trait]
impl Queue for RabbitMqQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.shared.link().await?.ensure(lane).await.map(drop)
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let checked: Vec<_> = messages.iter().map(|message| self.check_message(message)).collect();
        let stored = |message: &Message| {
            let Message { ticket, trace, delay } = message;
            (Stored { ticket: *ticket, trace: trace.clone(), attempts: 0 }, *delay)
        };
        let fitting = messages.iter().zip(&checked).filter(|(_, check)| check.is_ok());
        let fitting: Vec<_> = fitting.map(|(message, _)| stored(message)).collect();
        if fitting.is_empty() {
            return checked;
        }
        let mut sent = self.shared.publish(lane, &fitting).await.into_iter();
        let unsent = || Err(unavailable(SEND, "it was not sent", "there is no answer"));
        let answer = |check: Result<(), BackendError>| {
            check.and_then(|()| sent.next().unwrap_or_else(unsent))
        };
        checked.into_iter().map(answer).collect()
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        within(LEASE, "lease", ttl, self.caps.lease_max)?;
        if count == 0 {
            return Ok(vec![]);
        }
        let (answer, answered) = oneshot::channel();
        let (shared, lane) = (self.shared.clone(), lane.clone());
        // A caller that gives up must not keep what is on its way to it.
        tokio::spawn(async move {
            let leased = shared.lease(&lane, count, ttl, wait).await;
            if let Err(Ok(unwanted)) = answer.send(leased) {
                for delivery in unwanted {
                    let number = delivery.receipt.handle.rsplit('.').next();
                    if let Some(number) = number.and_then(|number| number.parse().ok()) {
                        let _ = shared.give_back(number, Duration::ZERO).await;
                    }
                }
            }
        });
        answered.await.unwrap_or_else(|error| Err(unavailable(LEASE, "it broke off", error)))
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        within("extend a lease", "lease", ttl, self.caps.lease_max)?;
        let number = self.number(receipt)?;
        match self.shared.holding.may_extend(number, ttl, self.shared.held_max) {
            Extension::Granted => {
                self.shared.end_after(number, ttl);
                Ok(())
            }
            Extension::TooLong => {
                self.shared.give_back(number, Duration::ZERO).await?;
                Err(SettleError::Lost)
            }
            Extension::Lost => Err(SettleError::Lost),
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        let number = self.number(receipt)?;
        let held = self.shared.holding.remove(number).ok_or(SettleError::Lost)?;
        settled(held.acker.ack(BasicAckOptions::default()).await)
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        within("release a message", "delay", delay, self.caps.delay_max)?;
        self.shared.give_back(self.number(receipt)?, delay).await
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        let ready = self.shared.link().await?.ready(lane).await?;
        let in_flight = self.shared.holding.count(lane) as u64;
        Ok(QueueStats { ready, in_flight, delayed: 0 })
    }
}
