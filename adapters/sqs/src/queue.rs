//! The queue contract on SQS.

use crate::batches::{Batches, ENTRIES_MAX, Fate};
use crate::config::{Kind, SqsConfig};
use crate::connect::connect;
use crate::error::{Refusal, SQS};
use crate::message::{Body, PAYLOAD_MAX};
use crate::queues::Queues;
use async_trait::async_trait;
use aws_sdk_sqs::types::{
    MessageSystemAttributeName as SystemAttribute, QueueAttributeName as Attribute,
    SendMessageBatchRequestEntry as SendEntry,
};
use futures::StreamExt;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::fresh;
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_domain::lane::Lane;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest delay of a message.
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// All leases of a delivery end 12 hours after it was made; so one that begins a little later
/// still fits.
const LEASE_MAX: Duration = Duration::from_secs(12 * 60 * 60 - 60);
/// The longest poll.
const POLL_MAX: Duration = Duration::from_secs(20);
/// Between requests that do not wait.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests with messages to send that are under way at once, of one call.
const SENDS_MAX: usize = 8;

/// What the queue can do, of either kind.
pub const CAPABILITIES: QueueCaps = QueueCaps {
    name: SQS,
    delay_max: DELAY_MAX,
    lease_max: LEASE_MAX,
    settled_by: SettledBy::Anyone,
    fenced_settle: false,
    exact_attempts: false,
    dedup: Dedup::None,
    payload_max: PAYLOAD_MAX,
    exact_stats: false,
    counted: Counted::Everything,
    durability: Durability::Synced,
    shared: true,
};

/// Queues in Amazon SQS, one for each lane.
///
/// SQS counts in whole seconds: leases and delays are rounded up to them. Deliveries hold a
/// receipt that any process can use.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    caps: QueueCaps,
    queues: Arc<Queues>,
    batches: Batches,
}

impl SqsQueue {
    /// Connects to the queues at an address: `sqs://prefix?setting=value`, as
    /// [`SqsConfig::from_url`] reads it. Fails if the service refuses to work with the settings.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        Self::open_config(SqsConfig::from_url(url)?).await
    }

    /// Connects to the queues that a configuration names.
    pub async fn open_config(config: SqsConfig) -> Result<Self, BackendError> {
        let client = connect(&config).await?;
        let batches = Batches::start(client.clone());
        Ok(Self { caps: CAPABILITIES, queues: Arc::new(Queues::new(client, config)), batches })
    }

    async fn send_batch(
        &self,
        lane: &Lane,
        messages: Vec<(usize, &Message)>,
    ) -> Vec<(usize, Result<(), BackendError>)> {
        let mut answers = vec![];
        let mut entries = vec![];
        for (place, message) in messages {
            match self.entry(place, message) {
                Ok(entry) => entries.push((place, entry)),
                Err(error) => answers.push((place, Err(error))),
            }
        }
        if entries.is_empty() {
            return answers;
        }
        let mut sent = self.send_entries(lane, &entries).await;
        if matches!(&sent, Err(error) if error.fault == Fault::NotFound) {
            // Somebody deleted the queue. What was in it is sent again by others.
            self.queues.forget(lane);
            sent = self.send_entries(lane, &entries).await;
        }
        answers.extend(entries.into_iter().map(|(place, _)| {
            let answer = match &sent {
                Ok(failed) => match failed.iter().find(|(failed, _)| *failed == place) {
                    Some((_, said)) => Err(failure(Fault::Unavailable, SEND, said.clone())),
                    None => Ok(()),
                },
                Err(error) => Err(failure(error.fault, SEND, error.chain())),
            };
            (place, answer)
        }));
        answers
    }

    /// Sends up to ten; the answer has those that failed, and why.
    async fn send_entries(
        &self,
        lane: &Lane,
        entries: &[(usize, SendEntry)],
    ) -> Result<Vec<(usize, String)>, BackendError> {
        let url = self.queues.url(lane).await?;
        let entries = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let request = self.queues.client().send_message_batch().queue_url(&*url);
        let sent = request.set_entries(Some(entries)).send().await;
        let sent = sent.map_err(|error| Refusal::of(&error).failure(SEND))?;
        let failed = sent.failed().iter().filter_map(|entry| {
            let said = format!("{}: {}", entry.code(), entry.message().unwrap_or_default());
            Some((entry.id().parse().ok()?, said))
        });
        Ok(failed.collect())
    }

    fn entry(&self, place: usize, message: &Message) -> Result<SendEntry, BackendError> {
        within(SEND, "delay", message.delay, self.caps.delay_max)?;
        let fifo = self.queues.kind() == Kind::Fifo;
        let entry =
            SendEntry::builder().id(place.to_string()).message_body(Body::text(message, fifo)?);
        let entry = match fifo {
            // The same ticket may be sent again soon: nothing must be left out.
            true => entry
                .message_group_id(message.ticket.to_string())
                .message_deduplication_id(hex::encode(fresh::bytes::<16>())),
            false => entry.delay_seconds(seconds(message.delay)),
        };
        entry.build().map_err(|error| failure(Fault::Other, SEND, "unbuilt").because(error))
    }

    /// Polls until something came or the time is over.
    async fn receive(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        let deadline = Instant::now() + wait;
        let count = usize::from(count);
        let mut deliveries = vec![];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(POLL_MAX);
            // SQS waits for whole seconds; what is left after them is spent here.
            let poll = if deliveries.is_empty() { left.as_secs() } else { 0 };
            let poll = Duration::from_secs(poll);
            let wanted = (count - deliveries.len()).min(ENTRIES_MAX);
            let (found, more) = match self.poll(lane, wanted, ttl, poll).await {
                Ok(polled) => polled,
                // What came is not lost for what did not.
                Err(_) if !deliveries.is_empty() => return Ok(deliveries),
                Err(error) if error.fault == Fault::NotFound => {
                    self.queues.forget(lane);
                    self.queues.url(lane).await?;
                    (vec![], false)
                }
                Err(error) => return Err(error),
            };
            deliveries.extend(found);
            let full = deliveries.len() >= count;
            let over = deliveries.is_empty() && Instant::now() >= deadline;
            if full || over || (!deliveries.is_empty() && !more) {
                return Ok(deliveries);
            }
            if deliveries.is_empty() && poll.is_zero() {
                tokio::time::sleep(left.min(PAUSE)).await;
            }
        }
    }

    /// One request; also says whether it brought as many as it could.
    async fn poll(
        &self,
        lane: &Lane,
        count: usize,
        ttl: Duration,
        wait: Duration,
    ) -> Result<(Vec<Delivery>, bool), BackendError> {
        let url = self.queues.url(lane).await?;
        let request = self.queues.client().receive_message().queue_url(&*url);
        let received = request
            .max_number_of_messages(i32::try_from(count).unwrap_or(1))
            .visibility_timeout(seconds(ttl))
            .wait_time_seconds(seconds(wait))
            .message_system_attribute_names(SystemAttribute::ApproximateReceiveCount)
            .send()
            .await;
        let received = received.map_err(|error| Refusal::of(&error).failure(LEASE))?;
        let messages = received.messages.unwrap_or_default();
        let more = messages.len() == count;
        let mut deliveries = vec![];
        for message in messages {
            let Some(handle) = message.receipt_handle else { continue };
            let body = serde_json::from_str::<Body>(message.body.as_deref().unwrap_or_default());
            let attributes = message.attributes.unwrap_or_default();
            let count = attributes.get(&SystemAttribute::ApproximateReceiveCount);
            let attempt = count.and_then(|count| count.parse().ok()).unwrap_or(1);
            match body {
                Ok(body) => match body.early() {
                    Some(left) => {
                        let fate = Fate::Visible(seconds(left));
                        let _ = self.batches.settle(url.clone(), handle, fate).await;
                    }
                    None => {
                        let receipt = Receipt { lane: lane.clone(), handle };
                        let Body { ticket, trace, .. } = body;
                        deliveries.push(Delivery { ticket, trace, attempt, receipt });
                    }
                },
                Err(error) => {
                    tracing::warn!(%lane, %error, "a message that is none of ours was deleted");
                    let _ = self.batches.settle(url.clone(), handle, Fate::Deleted).await;
                }
            }
        }
        Ok((deliveries, more))
    }

    async fn settle(&self, receipt: &Receipt, fate: Fate) -> Result<(), SettleError> {
        let url = self.queues.url(&receipt.lane).await?;
        self.batches.settle(url, receipt.handle.clone(), fate).await
    }
}

const SEND: &str = "send a message";
const LEASE: &str = "lease a message";

fn failure(fault: Fault, operation: &'static str, detail: impl Into<String>) -> BackendError {
    BackendError::new(fault, SQS, operation, detail)
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
    let detail = format!("a {what} of {wanted:?} is longer than {longest:?}");
    Err(failure(Fault::Rejected, operation, detail))
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[async_trait]
impl Queue for SqsQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.queues.url(lane).await.map(|_| ())
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let places: Vec<(usize, &Message)> = messages.iter().enumerate().collect();
        let batches = places.chunks(ENTRIES_MAX).map(|batch| self.send_batch(lane, batch.to_vec()));
        let batches: Vec<_> = batches.collect();
        let mut answers: Vec<_> =
            futures::stream::iter(batches).buffer_unordered(SENDS_MAX).concat().await;
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
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
        // The caller may break this off. What a request brings then is handed back at once, and
        // does not wait for the end of a lease that nobody holds.
        let (answer, answered) = oneshot::channel();
        let (queue, lane) = (self.clone(), lane.clone());
        tokio::spawn(async move {
            let received = queue.receive(&lane, count, ttl, wait).await;
            if let Err(Ok(unwanted)) = answer.send(received) {
                for delivery in unwanted {
                    let _ = queue.settle(&delivery.receipt, Fate::Visible(0)).await;
                }
            }
        });
        let gone = |_| Err(failure(Fault::Unavailable, LEASE, "its task has ended"));
        answered.await.unwrap_or_else(gone)
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        within("extend a lease", "lease", ttl, self.caps.lease_max)?;
        self.settle(receipt, Fate::Visible(seconds(ttl))).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        self.settle(receipt, Fate::Deleted).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        within("release a message", "delay", delay, self.caps.delay_max)?;
        self.settle(receipt, Fate::Visible(seconds(delay))).await
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        const COUNT: &str = "count messages";
        let url = self.queues.url(lane).await?;
        let counted = self
            .queues
            .client()
            .get_queue_attributes()
            .queue_url(&*url)
            .attribute_names(Attribute::ApproximateNumberOfMessages)
            .attribute_names(Attribute::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(Attribute::ApproximateNumberOfMessagesDelayed)
            .send()
            .await;
        let counted = match counted.map_err(|error| Refusal::of(&error)) {
            Ok(counted) => counted.attributes.unwrap_or_default(),
            Err(refusal) if refusal.is_missing() => {
                self.queues.forget(lane);
                return Ok(QueueStats::default());
            }
            Err(refusal) => return Err(refusal.failure(COUNT)),
        };
        let count = |name| counted.get(&name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(QueueStats {
            ready: count(Attribute::ApproximateNumberOfMessages),
            in_flight: count(Attribute::ApproximateNumberOfMessagesNotVisible),
            delayed: count(Attribute::ApproximateNumberOfMessagesDelayed),
        })
    }
}
