//! The queues of the lanes: found or made, and made again when somebody deleted them.

use crate::config::{Kind, SqsConfig};
use crate::error::Refusal;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use printmill_backend::error::BackendError;
use printmill_domain::lane::Lane;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Messages are kept for 14 days, which is the longest; older ones are sent again.
const RETENTION_SECONDS: u32 = 14 * 24 * 60 * 60;

/// How many queues' addresses are remembered.
const KNOWN_MAX: usize = 1000;

/// Where each lane's queue is.
#[derive(Debug)]
pub(crate) struct Queues {
    client: Client,
    config: SqsConfig,
    urls: Mutex<HashMap<Lane, Arc<str>>>,
}

impl Queues {
    pub(crate) fn new(client: Client, config: SqsConfig) -> Self {
        Self { client, config, urls: Mutex::default() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn kind(&self) -> Kind {
        self.config.kind
    }

    /// The address of a lane's queue, which is made if it is not known to be there.
    pub(crate) async fn url(&self, lane: &Lane) -> Result<Arc<str>, BackendError> {
        if let Some(url) = self.known().get(lane) {
            return Ok(url.clone());
        }
        let name = self.name(lane);
        let url: Arc<str> = match self.find(&name).await? {
            Some(url) => url.into(),
            None if self.config.create => self.create(&name).await?.into(),
            None => {
                let detail = format!("there is no queue {name}: create it, or set create=true");
                let fault = printmill_backend::error::Fault::NotFound;
                return Err(BackendError::new(fault, crate::error::SQS, "find a queue", detail));
            }
        };
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            // Lanes of workers come and go.
            known.clear();
        }
        known.insert(lane.clone(), url.clone());
        Ok(url)
    }

    /// The queue that was there is not any more.
    pub(crate) fn forget(&self, lane: &Lane) {
        self.known().remove(lane);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Lane, Arc<str>>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, lane: &Lane) -> String {
        let ending = if self.config.kind == Kind::Fifo { ".fifo" } else { "" };
        let mut name = format!("{}-{}", self.config.prefix, lane.as_str());
        // 80 characters are allowed. Lanes of our own are shorter.
        name.truncate(80 - ending.len());
        name + ending
    }

    async fn find(&self, name: &str) -> Result<Option<String>, BackendError> {
        match self.client.get_queue_url().queue_name(name).send().await {
            Ok(found) => Ok(found.queue_url),
            Err(error) => match Refusal::of(&error) {
                refusal if refusal.is_missing() => Ok(None),
                refusal => Err(refusal.failure("find a queue")),
            },
        }
    }

    async fn create(&self, name: &str) -> Result<String, BackendError> {
        use QueueAttributeName as Attribute;
        let retention = RETENTION_SECONDS.to_string();
        let mut create = self
            .client
            .create_queue()
            .queue_name(name)
            .attributes(Attribute::MessageRetentionPeriod, retention);
        if self.config.kind == Kind::Fifo {
            create = create
                .attributes(Attribute::FifoQueue, "true")
                .attributes(Attribute::DeduplicationScope, "messageGroup")
                .attributes(Attribute::FifoThroughputLimit, "perMessageGroupId");
        }
        let created = create.send().await;
        let created = created.map_err(|error| Refusal::of(&error).failure("create a queue"))?;
        tracing::info!(queue = name, "queue created");
        Ok(created.queue_url.unwrap_or_default())
    }
}
