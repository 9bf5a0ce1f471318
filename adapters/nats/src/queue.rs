//! The queue's contract on JetStream.

use crate::config::NatsConfig;
use crate::connect::{Connection, connect};
use crate::error::{NATS, rejected, unavailable};
use crate::lanes::{ACK_WAIT, Lanes};
use crate::message::{Place, Stored, settles};
use crate::pull::{Pulled, Wanted, pull};
use async_nats::jetstream::AckKind;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::StorageType;
use async_nats::{Message as Delivered, RequestErrorKind};
use async_trait::async_trait;
use futures::future::join_all;
use printmill_backend::BackendError;
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_domain::lane::Lane;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::Instant;

const SEND: &str = "send a message";
const LEASE: &str = "lease messages";
const SETTLE: &str = "settle a message";
/// The longest delay and lease: well within the time after which a lane's consumer is forgotten.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest payload, where the server takes as much.
const PAYLOAD_MAX: usize = 64 * 1024;
/// By how much JSON may lengthen a payload.
const ESCAPED: usize = 6;
/// What JSON adds to a payload at most, with the ticket's id.
const ENVELOPE: usize = 256;
/// The longest that a server is asked to wait at once.
const SLICE: Duration = Duration::from_secs(30);
/// How long to leave a request to others that were there before.
const YIELD: Duration = Duration::from_millis(5);

/// A queue on JetStream, which any number of processes may share.
///
/// It connects again by itself. A stream that was lost is made again at its next use, empty.
#[derive(Clone)]
pub struct NatsQueue {
    caps: QueueCaps,
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    lanes: Lanes,
}

/// What the queue can do on a server that takes messages of up to `size` bytes, with a stream that
/// is kept in files or in memory. It is the same for all versions that will do.
pub fn capabilities(size: usize, in_files: bool) -> QueueCaps {
    QueueCaps {
        name: NATS,
        delay_max: LONGEST,
        lease_max: LONGEST,
        settled_by: SettledBy::Anyone,
        // JetStream takes acknowledgements from whoever held a message before.
        fenced_settle: false,
        // Requests that were given up, and delays on sending, cost a delivery.
        exact_attempts: false,
        dedup: Dedup::None,
        payload_max: (size.saturating_sub(ENVELOPE) / ESCAPED).min(PAYLOAD_MAX),
        exact_stats: false,
        counted: Counted::Everything,
        durability: if in_files { Durability::Periodic } else { Durability::Memory },
        shared: true,
    }
}

impl NatsQueue {
    /// Opens the queue at an address like `nats://user:password@host:4222?stream=printmill`; see
    /// [`NatsConfig::from_url`]. The stream is made if there is none.
    ///
    /// Fails with `Rejected`, saying what to change, for an address that is none, credentials that
    /// the server refuses, TLS that does not verify, a server before 2.9 or without JetStream, and
    /// a stream of that name which is no work queue; with `Unavailable` when no server answers.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        let config = NatsConfig::from_url(url)?;
        let connection = connect(&config).await?;
        let lanes = Lanes::new(connection.context.clone(), config);
        let (_, stream) = lanes.ensure_stream().await?;
        let size = connection.client.server_info().max_payload;
        let limit = usize::try_from(stream.config.max_message_size).ok().filter(|it| *it > 0);
        let size = limit.map_or(size, |limit| limit.min(size));
        let caps = capabilities(size, stream.config.storage == StorageType::File);
        Ok(Self { caps, shared: Arc::new(Shared { connection, lanes }) })
    }

    fn check_message(&self, message: &Message) -> Result<(), BackendError> {
        self.check_delay(SEND, message.delay)?;
        let size = message.trace.as_ref().map_or(0, String::len);
        if size > self.caps.payload_max {
            let detail = format!("{size} bytes are more than {}", self.caps.payload_max);
            return Err(rejected(SEND, detail));
        }
        Ok(())
    }

    fn check_delay(&self, operation: &'static str, delay: Duration) -> Result<(), BackendError> {
        within(operation, "delay", delay, self.caps.delay_max)
    }

    fn check_lease(&self, operation: &'static str, ttl: Duration) -> Result<(), BackendError> {
        within(operation, "lease", ttl, self.caps.lease_max)
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
    async fn publish(&self, subject: &str, bytes: &[u8]) -> Result<PublishAckFuture, PublishError> {
        self.connection.context.publish(subject.to_owned(), bytes.to_vec().into()).await
    }

    /// Publishes all, then waits for all answers.
    async fn publish_all(
        &self,
        subject: &str,
        payloads: &[Option<Vec<u8>>],
    ) -> Vec<Option<PublishError>> {
        let mut waiting = Vec::with_capacity(payloads.len());
        for payload in payloads {
            waiting.push(match payload {
                Some(bytes) => Some(self.publish(subject, bytes).await),
                None => None,
            });
        }
        let answers = waiting.into_iter().map(async |published| match published? {
            Ok(stored) => stored.await.err(),
            Err(error) => Some(error),
        });
        join_all(answers).await
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        let deadline = Instant::now() + wait.min(LONGEST);
        let mut alone = false;
        loop {
            self.connection.up(LEASE).await?;
            let wait = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let wanted = if alone { Wanted::One { wait } } else { Wanted::Some { count, wait } };
            let began = Instant::now();
            let leased = self.taken(self.pull(lane, wanted).await?, lane, ttl).await;
            if !leased.is_empty() || Instant::now() >= deadline {
                return Ok(leased);
            }
            // Somebody else asked before and is served first; then only who waits is served.
            alone = began.elapsed() < wait.min(YIELD);
        }
    }

    /// Asks the lane's consumer, which is made again if it is gone.
    async fn pull(&self, lane: &Lane, wanted: Wanted) -> Result<Vec<Delivered>, BackendError> {
        let mut name = self.lanes.consumer(lane).await?;
        for _ in 0..2 {
            match pull(&self.connection, self.lanes.pulls(&name), wanted).await? {
                Pulled::Messages(messages) => return Ok(messages),
                Pulled::NoConsumer => {
                    self.lanes.forget(lane);
                    name = self.lanes.ensure(lane).await?;
                }
            }
        }
        Err(unavailable(LEASE, "the lane's consumer does not answer", "it was made again"))
    }

    /// What of the delivered messages is leased: those whose delay is over.
    async fn taken(&self, delivered: Vec<Delivered>, lane: &Lane, ttl: Duration) -> Vec<Delivery> {
        let leases = delivered.into_iter().map(|message| self.take(message, lane, ttl));
        join_all(leases).await.into_iter().flatten().collect()
    }

    async fn take(&self, message: Delivered, lane: &Lane, ttl: Duration) -> Option<Delivery> {
        let handle = message.reply?.to_string();
        let place = Place::read(&handle)?;
        let Some(stored) = Stored::decode(&message.payload) else {
            tracing::warn!(%lane, subject = %message.subject, "removed a message that is not ours");
            let _ = self.settle(&handle, AckKind::Term).await;
            return None;
        };
        let first = place.delivered == 1 || stored.delay_ms == 0;
        let left = stored.left(&place, SystemTime::now());
        if !left.is_zero() {
            let _ = self.settle(&handle, AckKind::Nak(Some(left))).await;
            return None;
        }
        if ttl != ACK_WAIT {
            // Whoever does not know when its lease ends has none; it comes again in a while.
            self.set_end(&handle, ttl).await.ok()?;
        }
        let attempt = if first { place.delivered } else { place.delivered - 1 };
        let receipt = Receipt { lane: lane.clone(), handle };
        Some(Delivery { ticket: stored.ticket, trace: stored.trace, attempt, receipt })
    }

    /// Makes a message be delivered again so long from now, unless it is acknowledged before.
    ///
    /// That is what a refusal with a delay says to JetStream: the message stays with its holder,
    /// and only the time of its next delivery changes. So it is a lease of any length.
    async fn set_end(&self, handle: &str, ttl: Duration) -> Result<(), SettleError> {
        let kind = match ttl {
            Duration::ZERO => AckKind::Nak(None),
            ACK_WAIT => AckKind::Progress,
            other => AckKind::Nak(Some(other)),
        };
        self.settle(handle, kind).await
    }

    /// Tells the server, and waits until it knows. Any process may, for any delivery.
    async fn settle(&self, handle: &str, kind: AckKind) -> Result<(), SettleError> {
        if !settles(handle) {
            return Err(SettleError::Lost);
        }
        self.connection.up(SETTLE).await?;
        let answer = self.connection.client.request(handle.to_owned(), kind.into()).await;
        match answer {
            Ok(_) => Ok(()),
            // The consumer is gone, and with it the lease.
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(SettleError::Lost),
            Err(error) => Err(unavailable(SETTLE, "the server did not answer", error).into()),
        }
    }
}

#[async_trait]
impl Queue for NatsQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.shared.connection.up("make sure of a lane").await?;
        self.shared.lanes.ensure(lane).await.map(drop)
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let shared = &self.shared;
        let up = shared.connection.up(SEND).await.is_ok();
        let payload = |message: &Message| {
            self.check_message(message)?;
            if up {
                return Stored::encode(message);
            }
            Err(unavailable(SEND, "there is no connection", "it is being made again"))
        };
        let prepared: Vec<_> = messages.iter().map(payload).collect();
        let payloads: Vec<_> = prepared.iter().map(|it| it.as_ref().ok().cloned()).collect();
        let subject = shared.lanes.subject(lane);
        let mut failed = shared.publish_all(&subject, &payloads).await;
        let lost = |error: &PublishError| error.kind() == PublishErrorKind::StreamNotFound;
        if failed.iter().flatten().any(lost) {
            // The server lost the stream: it is made again, and those are sent once more.
            if shared.lanes.ensure(lane).await.is_ok() {
                let again = payloads.into_iter().zip(&failed);
                let again = again.map(|(payload, error)| payload.filter(|_| error.is_some()));
                failed = shared.publish_all(&subject, &again.collect::<Vec<_>>()).await;
            }
        }
        let answers = prepared.into_iter().zip(failed).map(|(prepared, failed)| {
            prepared?;
            match failed {
                None => Ok(()),
                Some(error) => Err(unavailable(SEND, "it is not known to be stored", error)),
            }
        });
        answers.collect()
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        self.check_lease(LEASE, ttl)?;
        if count == 0 {
            return Ok(vec![]);
        }
        let (answer, answered) = oneshot::channel();
        let (shared, lane) = (self.shared.clone(), lane.clone());
        // A caller that gives up must not keep what is on its way to it.
        tokio::spawn(async move {
            let leased = shared.lease(&lane, count, ttl, wait).await;
            if let Err(Ok(unwanted)) = answer.send(leased) {
                let back = unwanted
                    .iter()
                    .map(|delivery| shared.settle(&delivery.receipt.handle, AckKind::Nak(None)));
                join_all(back).await;
            }
        });
        answered.await.unwrap_or_else(|error| Err(unavailable(LEASE, "it broke off", error)))
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.check_lease("extend a lease", ttl)?;
        self.shared.set_end(&receipt.handle, ttl).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        self.shared.settle(&receipt.handle, AckKind::Ack).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        self.check_delay("release a message", delay)?;
        let delay = Some(delay).filter(|delay| !delay.is_zero());
        self.shared.settle(&receipt.handle, AckKind::Nak(delay)).await
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        self.shared.connection.up("count a lane").await?;
        let info = self.shared.lanes.info(lane).await?;
        // What waits for its delay after a first delivery is among what is leased.
        let in_flight = info.num_ack_pending as u64;
        Ok(QueueStats { ready: info.num_pending, in_flight, delayed: 0 })
    }
}
