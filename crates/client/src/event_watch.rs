//! Follows the event log, across broken connections.

use crate::client::Client;
use crate::error::ClientError;
use crate::v1::{WatchEventsRequest, WatchEventsResponse};
use std::time::Duration;
use tonic::{Status, Streaming};

/// The server gives a sign of life every 15 seconds; one that is silent so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What happens in the whole account, as it goes on. No event is given twice or left out.
#[derive(Debug)]
pub struct EventWatch {
    client: Client,
    wanted: WatchEventsRequest,
    stream: Option<Streaming<WatchEventsResponse>>,
    failures: u32,
}

impl EventWatch {
    pub(crate) fn new(client: Client, wanted: WatchEventsRequest) -> Self {
        Self { client, wanted, stream: None, failures: 0 }
    }

    /// The next event, or a sign of life without one. Its `seq` is where another watch would go
    /// on. Fails when trying again cannot help, and after several tries in vain.
    pub async fn next(&mut self) -> Result<WatchEventsResponse, ClientError> {
        loop {
            let status = match self.read().await {
                Ok(message) => {
                    self.failures = 0;
                    self.wanted.after_seq = Some(message.seq);
                    self.wanted.since = None;
                    return Ok(message);
                }
                Err(status) => status,
            };
            self.stream = None;
            self.failures += 1;
            self.client.connection().pause_after(&status, self.failures).await?;
        }
    }

    async fn read(&mut self) -> Result<WatchEventsResponse, Status> {
        if self.stream.is_none() {
            let answer = self.client.events().watch(self.wanted.clone()).await?;
            self.stream = Some(answer.into_inner());
        }
        let silent = || Status::unavailable("the server gives no sign of life");
        let stream = self.stream.as_mut().ok_or_else(silent)?;
        let next = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
        // The server ends a watch only with a reason; without one the connection was cut.
        next.map_err(|_| silent())??.ok_or_else(|| Status::unavailable("the watch was cut off"))
    }
}
