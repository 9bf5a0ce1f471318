//! Messages as they lie in the stream, and the handles that settle them.

use crate::error::NATS;
use printmill_backend::queue::Message;
use printmill_backend::{BackendError, Fault};
use printmill_domain::ids::TicketId;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What deliveries are acknowledged to begins with this, for everybody who is connected.
const ACK_PREFIX: &str = "$JS.ACK.";

/// A message in the stream, as JSON, which people can read with NATS' own tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) ticket: TicketId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// Not to be delivered before so many milliseconds after it was stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) delay_ms: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Stored {
    pub(crate) fn encode(message: &Message) -> Result<Vec<u8>, BackendError> {
        let Message { ticket, trace, delay } = message;
        // Rounded up: never too early.
        let delay_ms = delay.as_micros().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        let stored = Self { ticket: *ticket, trace: trace.clone(), delay_ms };
        serde_json::to_vec(&stored).map_err(|error| {
            let detail = "the message cannot be written as JSON";
            BackendError::new(Fault::Rejected, NATS, "send a message", detail).because(error)
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// How much of the delay is left.
    pub(crate) fn left(&self, place: &Place, now: SystemTime) -> Duration {
        let delay = Duration::from_millis(self.delay_ms);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Where clocks differ, the delay is what counts: it is never waited for longer than once.
        let due = Duration::from_nanos(place.stored_nanos) + delay;
        due.saturating_sub(now).min(delay)
    }
}

/// What JetStream says of a delivery in the subject that acknowledges it (ADR-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// How often it was delivered.
    pub(crate) delivered: u32,
    /// When it was stored, in nanoseconds since 1970.
    stored_nanos: u64,
}

impl Place {
    /// Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.delivery.time.pending`.
    pub(crate) fn read(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix(ACK_PREFIX)?.split('.').collect();
        let skipped = if tokens.len() >= 9 { 2 } else { 0 };
        let token = |number: usize| tokens.get(skipped + number);
        Some(Self { delivered: token(2)?.parse().ok()?, stored_nanos: token(5)?.parse().ok()? })
    }
}

/// Whether a receipt's handle can settle anything here.
pub(crate) fn settles(handle: &str) -> bool {
    Place::read(handle).is_some() && !handle.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_domain::ids::Id;

    #[test]
    fn acknowledgement_subjects_of_all_servers_are_read() {
        let stored_nanos = 1_700_000_000_000_000_000;
        let place = Some(Place { delivered: 3, stored_nanos });
        let old = format!("$JS.ACK.printmill.express-1f.3.12.40.{stored_nanos}.7");
        assert_eq!(Place::read(&old), place);
        let new = format!("$JS.ACK.hub.acc.printmill.express-1f.3.12.40.{stored_nanos}.7.token");
        assert_eq!(Place::read(&new), place);
        for other in ["", "$JS.ACK.", "$JS.API.INFO", "$JS.ACK.a.b.c.d.e.f.g", "7:x"] {
            assert_eq!(Place::read(other), None, "{other}");
            assert!(!settles(other));
        }
        assert!(settles(&old) && !settles(&format!("{old} 1\r\nPUB")));
    }

    #[test]
    fn a_delay_counts_from_when_the_message_was_stored() {
        let stored =
            Stored { ticket: TicketId::from_uuid(Default::default()), trace: None, delay_ms: 500 };
        let place = Place { delivered: 1, stored_nanos: 1_000_000_000 };
        let left = |now_ms| stored.left(&place, UNIX_EPOCH + Duration::from_millis(now_ms));
        assert_eq!(left(1_200), Duration::from_millis(300));
        assert_eq!(left(1_500), Duration::ZERO);
        // Our clock is behind the server's.
        assert_eq!(left(100), Duration::from_millis(500));
    }
}
