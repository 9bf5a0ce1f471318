//! A queue between the engine and the one in memory, which does something else in one place.

use printmill_adapter_memory::MemoryQueue;
use printmill_backend::BackendError;
use printmill_backend::queue::{
    Counted, Delivery, Message, Queue, QueueCaps, QueueStats, Receipt, SettleError,
};
use printmill_domain::lane::Lane;
use printmill_engine::relay::Relay;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

pub(crate) struct WrappedQueue {
    queue: Arc<MemoryQueue>,
    caps: QueueCaps,
    /// A relay that is always faster than who acknowledges a message.
    relay: Mutex<Option<Relay>>,
}

impl WrappedQueue {
    /// It does not know what others hold.
    pub(crate) fn shortsighted(queue: &Arc<MemoryQueue>) -> Self {
        let caps = QueueCaps { counted: Counted::ReadyAndOwn, ..queue.caps().clone() };
        Self { queue: queue.clone(), caps, relay: Mutex::new(None) }
    }

    /// Lets the relay look.
    pub(crate) async fn look(&self) -> Result<(), BackendError> {
        if let Some(relay) = &mut *self.relay.lock().await {
            relay.pump().await?;
        }
        Ok(())
    }

    /// A relay looks before each message is acknowledged.
    pub(crate) fn outrun_by(queue: &Arc<MemoryQueue>, relay: Relay) -> Self {
        Self { queue: queue.clone(), caps: queue.caps().clone(), relay: Mutex::new(Some(relay)) }
    }
}

#[async_trait::async_trait]
impl Queue for WrappedQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }
    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.queue.ensure(lane).await
    }
    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        self.queue.send(lane, messages).await
    }
    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        self.queue.lease(lane, count, ttl, wait).await
    }
    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.queue.extend(receipt, ttl).await
    }
    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        self.look().await?;
        self.queue.ack(receipt).await
    }
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        self.queue.release(receipt, delay).await
    }
    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        let stats = self.queue.stats(lane).await?;
        Ok(match self.caps.counted {
            Counted::Everything => stats,
            Counted::ReadyAndOwn => QueueStats { in_flight: 0, ..stats },
        })
    }
}
