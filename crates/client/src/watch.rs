//! Follows an order's history, across broken connections.

use crate::client::Client;
use crate::error::ClientError;
use crate::v1::{OrderEvent, WatchOrderRequest};
use tonic::Streaming;

/// An order's history as it goes on. No event is given twice or left out.
#[derive(Debug)]
pub struct OrderWatch {
    client: Client,
    order: String,
    after_sequence: i64,
    stream: Option<Streaming<OrderEvent>>,
    failures: u32,
}

impl OrderWatch {
    pub(crate) fn new(client: Client, order: String, after_sequence: i64) -> Self {
        Self { client, order, after_sequence, stream: None, failures: 0 }
    }

    /// The next event; nothing when the order is shipped or cancelled.
    pub async fn next(&mut self) -> Result<Option<OrderEvent>, ClientError> {
        loop {
            let status = match self.read().await {
                Ok(Some(event)) if event.sequence <= self.after_sequence => continue,
                Ok(event) => {
                    self.failures = 0;
                    self.after_sequence =
                        event.as_ref().map_or(self.after_sequence, |event| event.sequence);
                    return Ok(event);
                }
                Err(status) => status,
            };
            self.stream = None;
            self.failures += 1;
            self.client.connection().pause_after(&status, self.failures).await?;
        }
    }

    async fn read(&mut self) -> Result<Option<OrderEvent>, tonic::Status> {
        if let Some(stream) = &mut self.stream {
            return stream.message().await;
        }
        let request =
            WatchOrderRequest { order_id: self.order.clone(), after_sequence: self.after_sequence };
        let stream = self.client.orders().watch_order(request).await?.into_inner();
        self.stream.insert(stream).message().await
    }
}
