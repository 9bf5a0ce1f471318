//! A connection with its channels, and the queues and exchanges that are known to be there.

use crate::config::RabbitMqConfig;
use crate::connect::{connect, refusal};
use crate::delay::bucket;
use crate::error::{RabbitMqError, unavailable};
use crate::message::Stored;
use futures::StreamExt;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, Connection, Error, ExchangeKind, PublisherConfirm};
use lapin::{Consumer, message::Delivery as Delivered};
use printmill_backend::BackendError;
use printmill_domain::lane::Lane;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Up to so many messages are asked for one by one.
const GETS_MAX: u16 = 4;
const SEND: &str = "send a message";
/// How long the server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for messages that come together with the first.
const TOGETHER: Duration = Duration::from_millis(1);
/// A queue that nobody used for so long goes, with what is in it: workers and facilities go. What
/// was in it is sent again from the database.
const FORGOTTEN_AFTER: i64 = 7 * 24 * 60 * 60 * 1000;

/// A connection. When it is lost, so is what was leased through it, and another takes its place.
pub(crate) struct Link {
    connection: Connection,
    /// Declares and counts; whatever is refused closes it, and another is opened.
    publishing: Channel,
    lanes: Mutex<HashMap<Lane, Channel>>,
    /// Consumers get the prefetch that was set last on their channel.
    starting: tokio::sync::Mutex<()>,
    delays: Mutex<HashSet<u64>>,
    prefix: String,
}

/// How something that was published ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// It is stored.
    Stored,
    /// There is no queue for it.
    NoQueue,
}

impl Link {
    /// Connects, and makes sure of what all lanes share.
    pub(crate) async fn open(config: &RabbitMqConfig) -> Result<Self, BackendError> {
        let connection = connect(config).await?;
        let publishing = connection.create_channel().await;
        let publishing = publishing.map_err(|error| unavailable(SEND, "no channel", error))?;
        let confirm = publishing.confirm_select(ConfirmSelectOptions::default()).await;
        confirm.map_err(|error| unavailable(SEND, "no confirmations", error))?;
        let link = Self {
            connection,
            publishing,
            lanes: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            delays: Mutex::default(),
            prefix: config.prefix.clone(),
        };
        for exchange in [link.delaying(), link.due()] {
            link.declare_exchange(&exchange).await?;
        }
        Ok(link)
    }

    /// Whether it can be used.
    pub(crate) fn is_up(&self) -> bool {
        self.connection.status().connected() && self.publishing.status().connected()
    }

    /// Messages with a delay go here, with their queue's time and lane as routing key.
    fn delaying(&self) -> String {
        format!("{}:delay", self.prefix)
    }

    /// Messages whose delay is over go here.
    fn due(&self) -> String {
        format!("{}:due", self.prefix)
    }

    fn queue(&self, lane: &Lane) -> String {
        format!("{}.{lane}", self.prefix)
    }

    async fn declare_exchange(&self, name: &str) -> Result<(), BackendError> {
        let channel = self.channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let kind = ExchangeKind::Topic;
        let declared = channel.exchange_declare(name.into(), kind, durable, FieldTable::default());
        declared.await.map_err(|error| not_declared(name, error))
    }

    /// A channel that a refusal may close.
    async fn channel(&self) -> Result<Channel, BackendError> {
        let opened = timeout(ANSWER_LIMIT, self.connection.create_channel()).await;
        match opened {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(unavailable("open a channel", "the server refuses", error)),
            Err(late) => Err(unavailable("open a channel", "the server does not answer", late)),
        }
    }

    async fn declare_queue(
        &self,
        name: &str,
        arguments: FieldTable,
        exchange: &str,
        key: &str,
    ) -> Result<Channel, BackendError> {
        let channel = self.channel().await?;
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let declared = channel.queue_declare(name.into(), durable, arguments).await;
        declared.map_err(|error| not_declared(name, error))?;
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            name.into(),
            exchange.into(),
            key.into(),
            options,
            FieldTable::default(),
        );
        bound.await.map_err(|error| not_declared(name, error))?;
        Ok(channel)
    }

    /// Makes sure of a lane's queue, and gives the channel that leases from it.
    pub(crate) async fn ensure(&self, lane: &Lane) -> Result<Channel, BackendError> {
        let mut arguments = quorum();
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(FORGOTTEN_AFTER));
        let (name, key) = (self.queue(lane), format!("*.{lane}"));
        let channel = self.declare_queue(&name, arguments, &self.due(), &key).await?;
        // Leases belong to the channel: one that lives is kept.
        let mut lanes = locked(&self.lanes);
        let kept = lanes.entry(lane.clone()).or_insert_with(|| channel.clone());
        if !kept.status().connected() {
            *kept = channel;
        }
        Ok(kept.clone())
    }

    /// The channel that leases from a lane.
    pub(crate) async fn lane(&self, lane: &Lane) -> Result<Channel, BackendError> {
        let known = locked(&self.lanes).get(lane).cloned();
        match known.filter(|channel| channel.status().connected()) {
            Some(channel) => Ok(channel),
            None => self.ensure(lane).await,
        }
    }

    /// Says that a lane's queue may be gone.
    pub(crate) fn forget(&self, lane: &Lane) {
        locked(&self.lanes).remove(lane);
    }

    /// Makes sure of the queue for a delay, and gives its time.
    async fn ensure_delay(&self, time: u64) -> Result<(), BackendError> {
        if locked(&self.delays).contains(&time) {
            return Ok(());
        }
        let mut arguments = quorum();
        let time_limit = i64::try_from(time).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(time_limit));
        for (name, value) in [
            ("x-dead-letter-exchange", self.due().as_str()),
            // What is due is in its lane before it leaves this queue.
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ] {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let name = format!("{}:delay.{time}", self.prefix);
        self.declare_queue(&name, arguments, &self.delaying(), &format!("{time}.*")).await?;
        locked(&self.delays).insert(time);
        Ok(())
    }

    /// Makes sure that the server knows what delays need.
    pub(crate) async fn try_delays(&self) -> Result<(), BackendError> {
        self.ensure_delay(1_000).await
    }

    /// Says that queues for delays may be gone.
    pub(crate) fn forget_delays(&self) {
        locked(&self.delays).clear();
    }

    /// Hands a message to the server; what comes of it is told later.
    pub(crate) async fn publish(
        &self,
        lane: &Lane,
        stored: &Stored,
        delay: Duration,
    ) -> Result<PublisherConfirm, BackendError> {
        let (exchange, key) = if delay.is_zero() {
            (String::new(), self.queue(lane))
        } else {
            let Some(time) = bucket(delay) else {
                let detail = format!("a delay of {delay:?} is too long");
                return Err(crate::error::rejected(SEND, detail));
            };
            self.ensure_delay(time).await?;
            (self.delaying(), format!("{time}.{lane}"))
        };
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (body, properties) = (stored.body(), stored.properties());
        let published =
            self.publishing.basic_publish(exchange.into(), key.into(), options, body, properties);
        published.await.map_err(|error| unavailable(SEND, "there is no connection", error))
    }

    /// Waits until a message is stored on most servers.
    pub(crate) async fn confirmed(
        &self,
        published: PublisherConfirm,
    ) -> Result<Published, BackendError> {
        match timeout(ANSWER_LIMIT, published).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(Published::Stored),
            Ok(Ok(Confirmation::Ack(Some(_)))) => Ok(Published::NoQueue),
            Ok(Ok(_)) => Err(unavailable(SEND, "the server did not store it", "it said no")),
            Ok(Err(error)) => Err(unavailable(SEND, "the connection was lost", error)),
            Err(late) => Err(unavailable(SEND, "the server did not confirm it", late)),
        }
    }

    /// How many messages of a lane are ready; nothing if there is no such queue.
    pub(crate) async fn ready(&self, lane: &Lane) -> Result<u64, BackendError> {
        let channel = self.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let name = self.queue(lane);
        match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
            Ok(queue) => Ok(queue.message_count().into()),
            Err(error) => match refusal(&error) {
                Some((AMQPSoftError::NOTFOUND, _)) => Ok(0),
                _ => Err(unavailable("count a lane", "the server does not answer", error)),
            },
        }
    }

    /// Up to `count` messages that are there, or come within `wait` together with the first.
    pub(crate) async fn take(
        &self,
        lane: &Lane,
        count: u16,
        wait: Duration,
    ) -> Result<Vec<Delivered>, Error> {
        let channel = match self.lane(lane).await {
            Ok(channel) => channel,
            Err(error) => return Err(std::io::Error::other(error).into()),
        };
        let queue = self.queue(lane);
        // A consumer is made and ended by the servers together. For a few messages that are there
        // already it is cheaper to ask for each.
        if wait.is_zero() || count <= GETS_MAX {
            let taken = get(&channel, &queue, count).await?;
            if wait.is_zero() || !taken.is_empty() {
                return Ok(taken);
            }
        }
        let mut consumer = {
            let _alone = self.starting.lock().await;
            channel.basic_qos(count, BasicQosOptions::default()).await?;
            let (tag, options) = (String::new(), BasicConsumeOptions::default());
            channel.basic_consume(queue.into(), tag.into(), options, FieldTable::default()).await?
        };
        let mut taken = vec![];
        let first = timeout(wait, next(&mut consumer)).await;
        if let Ok(Some(first)) = first {
            taken.push(first);
            while taken.len() < count.into() {
                let Ok(Some(another)) = timeout(TOGETHER, next(&mut consumer)).await else { break };
                taken.push(another);
            }
        }
        // What the server sent before it heard of the end belongs to us; it sends no more than
        // the prefetch.
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Ok(Some(last)) = timeout(ANSWER_LIMIT, next(&mut consumer)).await {
            taken.push(last);
        }
        Ok(taken)
    }
}

/// The next message; nothing at the end of the consumer, or of its connection.
async fn next(consumer: &mut Consumer) -> Option<Delivered> {
    consumer.next().await?.ok()
}

async fn get(channel: &Channel, queue: &str, count: u16) -> Result<Vec<Delivered>, Error> {
    let mut taken = vec![];
    while taken.len() < count.into() {
        match channel.basic_get(queue.into(), BasicGetOptions::default()).await? {
            Some(message) => taken.push(message.delivery),
            None => break,
        }
    }
    Ok(taken)
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

fn not_declared(name: &str, error: Error) -> BackendError {
    match refusal(&error) {
        Some((AMQPSoftError::PRECONDITIONFAILED, what)) if what.contains("inequivalent") => {
            RabbitMqError::OtherKind { name: name.to_owned(), what }.into()
        }
        Some((AMQPSoftError::PRECONDITIONFAILED, what)) => RabbitMqError::TooOld(what).into(),
        Some((AMQPSoftError::ACCESSREFUSED, what)) => RabbitMqError::Unauthorised(what).into(),
        _ => unavailable("declare a queue", "the server does not answer", error),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
