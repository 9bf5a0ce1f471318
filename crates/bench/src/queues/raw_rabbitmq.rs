//! lapin by itself: a quorum queue, publisher confirms, one consumer for all.

use super::life::{Side, TRACE};
use anyhow::Context;
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use tokio::sync::Mutex;

const QUEUE: &str = "raw";

pub(super) struct Quorum {
    _connection: Connection,
    publishing: Channel,
    consumer: Mutex<Consumer>,
}

impl Quorum {
    pub(super) async fn open(address: &str, prefetch: usize) -> anyhow::Result<Self> {
        let connection = Connection::connect(address, ConnectionProperties::default()).await?;
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        publishing.queue_declare(QUEUE.into(), durable, quorum).await?;
        let consuming = connection.create_channel().await?;
        let prefetch = u16::try_from(prefetch)?;
        consuming.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer =
            consuming.basic_consume(QUEUE.into(), "raw".into(), options, arguments).await?;
        Ok(Self { _connection: connection, publishing, consumer: Mutex::new(consumer) })
    }
}

#[async_trait]
impl Side for Quorum {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let mut confirms = Vec::with_capacity(count);
        for _ in 0..count {
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
            let published = self.publishing.basic_publish(
                "".into(),
                QUEUE.into(),
                options,
                TRACE.as_bytes(),
                properties,
            );
            confirms.push(published.await?);
        }
        try_join_all(confirms).await?;
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let mut taken = Vec::with_capacity(count);
        {
            let mut consumer = self.consumer.lock().await;
            for _ in 0..count {
                taken.push(consumer.next().await.context("the consumer goes on")??);
            }
        }
        let settled = taken.iter().map(|delivery| delivery.acker.ack(BasicAckOptions::default()));
        try_join_all(settled).await?;
        Ok(taken.len())
    }
}
