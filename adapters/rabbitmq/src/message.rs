//! Messages as they lie in a queue, and what RabbitMQ says of their deliveries.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use printmill_domain::ids::{Id, TicketId};

/// What a message carries from one copy to the next: how often it was delivered before.
const ATTEMPTS: &str = "printmill-attempts";
/// Set when there is a trace, which is then the body.
const TRACED: &str = "printmill-traced";
/// How often RabbitMQ has returned a message to its queue; under its newest name, how often it
/// was delivered before.
const RETURNS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// A message. Its id is the ticket's, its body the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) ticket: TicketId,
    pub(crate) trace: Option<String>,
    /// Deliveries of copies before this one.
    pub(crate) attempts: u32,
}

impl Stored {
    pub(crate) fn properties(&self) -> BasicProperties {
        let mut headers = lapin::types::FieldTable::default();
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(self.attempts.into()));
        headers.insert(TRACED.into(), AMQPValue::Boolean(self.trace.is_some()));
        BasicProperties::default()
            .with_message_id(self.ticket.to_string().into())
            .with_headers(headers)
            // On disk.
            .with_delivery_mode(2)
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.trace.as_deref().unwrap_or_default().as_bytes()
    }

    pub(crate) fn read(properties: &BasicProperties, body: &[u8]) -> Option<Self> {
        let ticket = TicketId::parse(properties.message_id().as_ref()?.as_str()).ok()?;
        let headers = properties.headers().as_ref()?;
        let traced = matches!(headers.inner().get(TRACED)?, AMQPValue::Boolean(true));
        let trace = if traced { Some(String::from_utf8(body.to_vec()).ok()?) } else { None };
        let attempts = number(properties, ATTEMPTS)?;
        Some(Self { ticket, trace, attempts })
    }
}

/// How often this copy went back to its queue.
pub(crate) fn returns(properties: &BasicProperties) -> u32 {
    RETURNS.iter().filter_map(|name| number(properties, name)).max().unwrap_or(0)
}

fn number(properties: &BasicProperties, name: &str) -> Option<u32> {
    let number = match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(number) => *number,
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        _ => return None,
    };
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ticket = TicketId::from_uuid(Default::default());
        for trace in [None, Some(String::new()), Some("00-é".to_owned())] {
            let stored = Stored { ticket, trace, attempts: 7 };
            let read = Stored::read(&stored.properties(), stored.body());
            assert_eq!(read, Some(stored));
        }
        assert_eq!(Stored::read(&BasicProperties::default(), b""), None);
        assert_eq!(returns(&BasicProperties::default()), 0);
    }
}
