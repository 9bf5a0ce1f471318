//! The stream, and a durable consumer in it for each lane: made when they are missing, also after
//! the server lost everything.

use crate::config::NatsConfig;
use crate::error::{NatsError, unavailable};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{self, AckPolicy};
use async_nats::jetstream::context::{
    ConsumerInfoErrorKind, Context, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    Config as StreamConfig, Info as StreamInfo, RetentionPolicy, StorageType, Stream,
};
use printmill_backend::BackendError;
use printmill_domain::lane::Lane;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a lease lasts unless it is set otherwise after the delivery; what the engine asks for.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(10);
/// A lane that nobody asked for so long loses its consumer: workers and facilities go. It is made
/// again when it is asked for. Leases and delays are shorter, so none is cut short.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many leases may wait at once in a lane.
const WAITING_MAX: i64 = 2048;

/// What is known of a deployment's stream.
pub(crate) struct Lanes {
    context: Context,
    config: NatsConfig,
    /// The consumer of each lane that is known to be there.
    known: Mutex<HashMap<Lane, Arc<str>>>,
}

impl Lanes {
    pub(crate) fn new(context: Context, config: NatsConfig) -> Self {
        Self { context, config, known: Mutex::default() }
    }

    /// Where the messages of a lane are published.
    pub(crate) fn subject(&self, lane: &Lane) -> String {
        format!("{}.{lane}", self.config.stream)
    }

    /// Where a consumer is asked for messages.
    pub(crate) fn pulls(&self, consumer: &str) -> String {
        let api = self.config.api();
        format!("{api}.CONSUMER.MSG.NEXT.{}.{consumer}", self.config.stream)
    }

    /// Makes sure of the stream, and gives it with how it is set up.
    pub(crate) async fn ensure_stream(&self) -> Result<(Stream, StreamInfo), BackendError> {
        let name = self.config.stream.clone();
        let found = match self.context.get_stream(&name).await {
            Ok(found) => found,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.code() == 404 => {
                    self.known().clear();
                    self.make_stream().await?
                }
                _ => {
                    return Err(unavailable("find the stream", "JetStream does not answer", error));
                }
            },
        };
        let info = found.cached_info().clone();
        let own = format!("{name}.*");
        let differs = if info.config.retention != RetentionPolicy::WorkQueue {
            format!("keeps messages by {:?} and is no work queue", info.config.retention)
        } else if !info.config.subjects.contains(&own) {
            format!("takes the subjects {:?} and not {own}", info.config.subjects)
        } else {
            return Ok((found, info));
        };
        Err(NatsError::OtherStream { name, what: differs }.into())
    }

    async fn make_stream(&self) -> Result<Stream, BackendError> {
        let name = self.config.stream.clone();
        let config = StreamConfig {
            description: Some("Printmill's queue: rebuilt from the database when lost".into()),
            subjects: vec![format!("{name}.*")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            num_replicas: self.config.replicas,
            name: name.clone(),
            ..StreamConfig::default()
        };
        self.context.get_or_create_stream(config).await.map_err(|error| match error.kind() {
            CreateStreamErrorKind::JetStream(refused) => {
                let why = format!(
                    "{refused}; if its subjects overlap, set stream=NAME; else check replicas=N, \
                     and the limits of the account"
                );
                NatsError::NoStream { name, why }.into()
            }
            _ => unavailable("make the stream", "JetStream does not answer", error),
        })
    }

    /// Makes sure of a lane, and gives the name of its consumer.
    ///
    /// The name tells when the stream was made: a stream that was lost and made again numbers its
    /// messages from 1, and what settles an old message must not settle a new one.
    pub(crate) async fn ensure(&self, lane: &Lane) -> Result<Arc<str>, BackendError> {
        let (stream, info) = self.ensure_stream().await?;
        let name: Arc<str> = format!("{lane}-{:x}", info.created.unix_timestamp_nanos()).into();
        let config = pull::Config {
            durable_name: Some(name.to_string()),
            filter_subject: self.subject(lane),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: -1,
            max_waiting: WAITING_MAX,
            inactive_threshold: FORGOTTEN_AFTER,
            ..pull::Config::default()
        };
        let made = stream.create_consumer(config).await;
        made.map_err(|error| {
            unavailable("make a lane's consumer", "JetStream does not make it", error)
        })?;
        self.known().insert(lane.clone(), name.clone());
        Ok(name)
    }

    /// The name of a lane's consumer, which is made if it was not seen yet.
    pub(crate) async fn consumer(&self, lane: &Lane) -> Result<Arc<str>, BackendError> {
        let known = self.known().get(lane).cloned();
        match known {
            Some(name) => Ok(name),
            None => self.ensure(lane).await,
        }
    }

    /// Says that a lane's consumer was not found.
    pub(crate) fn forget(&self, lane: &Lane) {
        self.known().remove(lane);
    }

    /// What the server knows of a lane.
    pub(crate) async fn info(&self, lane: &Lane) -> Result<consumer::Info, BackendError> {
        const COUNT: &str = "count a lane";
        let stream = self.context.get_stream_no_info(&self.config.stream).await;
        let stream = stream.map_err(|error| unavailable(COUNT, "there is no stream", error))?;
        let name = self.consumer(lane).await?;
        let error = match stream.consumer_info(&name).await {
            Ok(info) => return Ok(info),
            Err(error) => error,
        };
        if !matches!(
            error.kind(),
            ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound
        ) {
            return Err(unavailable(COUNT, "JetStream does not answer", error));
        }
        let name = self.ensure(lane).await?;
        let info = stream.consumer_info(&name).await;
        info.map_err(|error| unavailable(COUNT, "JetStream does not answer", error))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Lane, Arc<str>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
