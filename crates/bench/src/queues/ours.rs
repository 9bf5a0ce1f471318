//! The adapters' side.

use super::life::{LEASE, Side, TRACE, WAIT};
use async_trait::async_trait;
use printmill_adapter_nats::NatsQueue;
use printmill_adapter_rabbitmq::RabbitMqQueue;
use printmill_adapter_sql::SqlQueue;
use printmill_adapter_sqs::{Credentials, SqsConfig, SqsQueue};
use printmill_backend::queue::{Message, Queue};
use printmill_backend::{Clock, SystemClock, fresh};
use printmill_domain::lane::Lane;
use std::sync::Arc;
use std::time::Duration;

struct Ours {
    queue: Arc<dyn Queue>,
    lane: Lane,
}

pub(super) async fn sql(address: &str) -> anyhow::Result<Arc<dyn Side>> {
    ours(SqlQueue::open(address).await?).await
}

pub(super) async fn nats(address: &str) -> anyhow::Result<Arc<dyn Side>> {
    ours(NatsQueue::open(address).await?).await
}

pub(super) async fn rabbitmq(address: &str) -> anyhow::Result<Arc<dyn Side>> {
    ours(RabbitMqQueue::open(address).await?).await
}

pub(super) async fn sqs(endpoint: &str) -> anyhow::Result<Arc<dyn Side>> {
    let credentials =
        Credentials::Key { access_key_id: "bench".into(), secret_access_key: "bench".into() };
    let (region, endpoint) = (Some("eu-west-1".into()), Some(endpoint.parse()?));
    let config = SqsConfig { region, endpoint, credentials, ..SqsConfig::new("bench") };
    ours(SqsQueue::open_config(config).await?).await
}

async fn ours(queue: impl Queue + 'static) -> anyhow::Result<Arc<dyn Side>> {
    let lane = Lane::express();
    queue.ensure(&lane).await?;
    Ok(Arc::new(Ours { queue: Arc::new(queue), lane }))
}

#[async_trait]
impl Side for Ours {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let message = |_| Message {
            ticket: fresh::id(SystemClock.now()),
            trace: Some(TRACE.into()),
            delay: Duration::ZERO,
        };
        let messages: Vec<Message> = (0..count).map(message).collect();
        for sent in self.queue.send(&self.lane, &messages).await {
            sent?;
        }
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let count = u16::try_from(count)?;
        let leased = self.queue.lease(&self.lane, count, LEASE, WAIT).await?;
        let settled = leased.iter().map(|delivery| self.queue.ack(&delivery.receipt));
        futures::future::try_join_all(settled).await?;
        Ok(leased.len())
    }
}
