//! What a message holds: the ticket, its trace and, in FIFO queues, when it is due.

use crate::error::SQS;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::queue::Message;
use printmill_domain::ids::TicketId;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest payload in bytes: ten of them fit into one request, however they are escaped.
pub(crate) const PAYLOAD_MAX: usize = 4 * 1024;

/// A message's body, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) ticket: TicketId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// Milliseconds since 1970. FIFO queues know no delay of one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<u64>,
}

impl Body {
    /// The text to send. `keeps_time` where the queue does not keep delays.
    pub(crate) fn text(message: &Message, keeps_time: bool) -> Result<String, BackendError> {
        const SEND: &str = "send a message";
        let trace = message.trace.as_deref().unwrap_or_default();
        let size = trace.len() + message.ticket.to_string().len();
        if size > PAYLOAD_MAX {
            let detail = format!("{size} bytes are more than {PAYLOAD_MAX}");
            return Err(BackendError::new(Fault::Rejected, SQS, SEND, detail));
        }
        if trace.contains(['\u{fffe}', '\u{ffff}']) {
            let detail = "the trace has characters that SQS does not take";
            return Err(BackendError::new(Fault::Rejected, SQS, SEND, detail));
        }
        let not_before = (keeps_time && !message.delay.is_zero())
            .then(|| millis(SystemTime::now() + message.delay));
        let body = Self { ticket: message.ticket, trace: message.trace.clone(), not_before };
        serde_json::to_string(&body).map_err(|error| {
            BackendError::new(Fault::Other, SQS, SEND, "it cannot be written").because(error)
        })
    }

    /// How long a delivery must still wait.
    pub(crate) fn early(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_sub(millis(SystemTime::now()));
        (left > 0).then(|| Duration::from_millis(left))
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
