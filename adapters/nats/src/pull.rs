//! Asking a consumer for messages.
//!
//! The SDK's batches hide why they end; whether a consumer is gone or only empty decides here
//! what to do next.

use crate::connect::Connection;
use crate::error::unavailable;
use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use printmill_backend::BackendError;
use std::time::Duration;
use tokio::time::Instant;

const LEASE: &str = "lease messages";
/// How much later than it said the server may end a request.
const GRACE: Duration = Duration::from_secs(3);

/// How a request for messages ended.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// Messages came; or none, for as long as was asked or for less.
    Messages(Vec<Message>),
    /// There is no such consumer, or it is gone.
    NoConsumer,
}

/// Which messages to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that are there; if there is none, the first that comes meanwhile and those with it.
    Some { count: u16, wait: Duration },
    /// The first that comes meanwhile, even if others ask, too.
    One { wait: Duration },
}

impl Wanted {
    fn count(self) -> usize {
        match self {
            Self::Some { count, .. } => count.into(),
            Self::One { .. } => 1,
        }
    }

    fn wait(self) -> Duration {
        match self {
            Self::Some { wait, .. } | Self::One { wait } => wait,
        }
    }

    fn request(self) -> Vec<u8> {
        let mut request = serde_json::json!({ "batch": self.count() });
        if matches!(self, Self::Some { .. }) {
            request["no_wait"] = true.into();
        }
        let expires = u64::try_from(self.wait().as_nanos()).unwrap_or(u64::MAX);
        if expires > 0 {
            request["expires"] = expires.into();
        }
        request.to_string().into_bytes()
    }
}

/// Asks once. What was delivered before the connection broke is given back; its lease counts.
pub(crate) async fn pull(
    connection: &Connection,
    subject: String,
    wanted: Wanted,
) -> Result<Pulled, BackendError> {
    let loss = connection.loss();
    let client = &connection.client;
    let inbox = client.new_inbox();
    let subscribed = client.subscribe(inbox.clone()).await;
    let mut answers = subscribed.map_err(|error| unavailable(LEASE, "it is closed", error))?;
    let asked = client.publish_with_reply(subject, inbox, wanted.request().into()).await;
    asked.map_err(|error| unavailable(LEASE, "it is closed", error))?;
    let mut messages = vec![];
    let end = tokio::select! {
        biased;
        end = gather(&mut answers, wanted.count(), &mut messages) => end,
        () = loss => End::Failed("the connection was lost".into()),
        () = tokio::time::sleep_until(Instant::now() + wanted.wait() + GRACE) => {
            End::Failed("the server did not answer".into())
        }
    };
    match end {
        _ if !messages.is_empty() => Ok(Pulled::Messages(messages)),
        End::Done => Ok(Pulled::Messages(messages)),
        End::NoConsumer => Ok(Pulled::NoConsumer),
        End::Failed(why) => Err(unavailable(LEASE, "there was no answer", why)),
    }
}

enum End {
    Done,
    NoConsumer,
    Failed(String),
}

async fn gather(answers: &mut Subscriber, count: usize, messages: &mut Vec<Message>) -> End {
    while let Some(message) = answers.next().await {
        match message.status {
            None | Some(StatusCode::OK) => {
                messages.push(message);
                if messages.len() >= count {
                    return End::Done;
                }
            }
            Some(StatusCode::IDLE_HEARTBEAT) => {}
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => return End::Done,
            Some(StatusCode::NO_RESPONDERS) => return End::NoConsumer,
            Some(status) => {
                let why = message.description.unwrap_or_default();
                if why.eq_ignore_ascii_case("consumer deleted") {
                    return End::NoConsumer;
                }
                return End::Failed(format!("{status} {why}"));
            }
        }
    }
    End::Failed("the connection was closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_jetstream_reads() {
        let text = |wanted: Wanted| String::from_utf8(wanted.request()).unwrap();
        let wait = Duration::from_millis(2);
        let some = Wanted::Some { count: 7, wait };
        assert_eq!(text(some), r#"{"batch":7,"expires":2000000,"no_wait":true}"#);
        let now = Wanted::Some { count: 7, wait: Duration::ZERO };
        assert_eq!(text(now), r#"{"batch":7,"no_wait":true}"#);
        assert_eq!(text(Wanted::One { wait }), r#"{"batch":1,"expires":2000000}"#);
    }
}
