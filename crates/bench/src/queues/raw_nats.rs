//! async-nats by itself: a work queue on disk, a pull consumer, double acknowledgements.

use super::life::{LEASE, Side, TRACE, WAIT};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::try_join_all;

pub(super) struct JetStream {
    context: Context,
    consumer: Consumer<pull::Config>,
}

impl JetStream {
    pub(super) async fn open(address: &str) -> anyhow::Result<Self> {
        let context = jetstream::new(async_nats::connect(address).await?);
        let stream = Config {
            name: "raw".into(),
            subjects: vec!["raw.*".into()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            ..Config::default()
        };
        let stream = context.create_stream(stream).await?;
        let consumer = pull::Config {
            durable_name: Some("raw".into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: LEASE,
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(consumer).await?;
        Ok(Self { context, consumer })
    }
}

#[async_trait]
impl Side for JetStream {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let mut stored = Vec::with_capacity(count);
        for _ in 0..count {
            stored.push(self.context.publish("raw.lane", TRACE.into()).await?.into_future());
        }
        try_join_all(stored).await?;
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let batch = self.consumer.batch().max_messages(count).expires(WAIT);
        let messages: Vec<_> = batch.messages().await?.collect().await;
        let settled = messages.iter().map(async |message| match message {
            Ok(message) => message.double_ack().await,
            Err(error) => Err(error.to_string().into()),
        });
        try_join_all(settled).await.map_err(anyhow::Error::from_boxed)?;
        Ok(messages.len())
    }
}
