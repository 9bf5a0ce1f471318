//! One call: where it goes, who makes it, how long it may take, and how often it is tried.

use crate::error::ClientError;
use printmill_domain::problem::Code;
use std::future::Future;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a call is tried, and how long it waits in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries, the first included.
    pub attempts_max: u32,
    /// The wait after the first failure, before jitter. It doubles with each failure.
    pub base: Duration,
    /// The longest wait, before jitter.
    pub ceiling: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 6, base: Duration::from_millis(100), ceiling: Duration::from_secs(2) }
    }
}

impl Retry {
    /// The wait after so many failures (from 1): half of it fixed, half of it random.
    pub fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.base.saturating_mul(1 << doublings).min(self.ceiling);
        let mut random = [0; 1];
        let share = match getrandom::fill(&mut random) {
            Ok(()) => u32::from(random[0]),
            Err(_) => 128,
        };
        whole / 2 + whole / 2 * share / 255
    }
}

/// Adds the key and the trace to every call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.traceparent {
            request.metadata_mut().insert("traceparent", value.clone());
        }
        Ok(request)
    }
}

/// A server, and a key for it. Connects with the first call. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    pub(crate) channel: Channel,
    pub(crate) credentials: Credentials,
    server: String,
    retry: Retry,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to `server`, as in `http://127.0.0.1:7070`; nothing is sent yet.
    pub fn new(server: &str, key: Option<&str>) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/');
        if !server.starts_with("http://") {
            return Err(ClientError::new(
                Code::InvalidArgument,
                format!("'{server}' is not an address that this client can reach"),
                "use http://HOST:PORT; put TLS in front with a proxy on the same machine",
            ));
        }
        let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| {
            let message = format!("'{server}' is not an address: {error}");
            ClientError::new(Code::InvalidArgument, message, "use http://HOST:PORT")
        })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let authorization = key.map(authorization).transpose()?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            credentials: Credentials { authorization, traceparent: None },
            server: server.to_owned(),
            retry: Retry::default(),
        })
    }

    /// The same connection with other patience.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same connection, for calls that belong to a trace (a W3C `traceparent`). Anything
    /// that cannot be sent is left out.
    pub fn with_trace(mut self, traceparent: Option<&str>) -> Self {
        let value = traceparent.filter(|text| !text.is_empty());
        self.credentials.traceparent = value.and_then(|text| text.parse().ok());
        self
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn retry(&self) -> Retry {
        self.retry
    }

    pub(crate) fn error(&self, status: &Status) -> ClientError {
        ClientError::from_status(status, &self.server)
    }

    /// Waits before a stream that failed so often in a row is opened again; the failure, when that
    /// cannot help or was tried often enough.
    pub(crate) async fn pause_after(
        &self,
        status: &Status,
        failures: u32,
    ) -> Result<(), ClientError> {
        let error = self.error(status);
        if !error.retryable || failures >= self.retry.attempts_max {
            return Err(error);
        }
        tokio::time::sleep(self.retry.wait(failures)).await;
        Ok(())
    }

    /// Makes a call, and makes it again while that can help. `send` must be safe to repeat.
    pub(crate) async fn call<Message, Answer, Sent>(
        &self,
        message: Message,
        send: impl Fn(Request<Message>) -> Sent,
    ) -> Result<Answer, ClientError>
    where
        Message: Clone,
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        self.call_within(CALL_TIMEOUT, message, send).await
    }

    /// The same, with a limit on each try.
    pub(crate) async fn call_within<Message, Answer, Sent>(
        &self,
        limit: Duration,
        message: Message,
        send: impl Fn(Request<Message>) -> Sent,
    ) -> Result<Answer, ClientError>
    where
        Message: Clone,
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        let mut failures = 0;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(limit);
            let error = match tokio::time::timeout(limit, send(request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => self.error(&status),
                Err(_) => {
                    let why = format!("it took longer than {} s", limit.as_secs());
                    ClientError::unreachable(&self.server, why)
                }
            };
            failures += 1;
            if !error.retryable || failures >= self.retry.attempts_max {
                return Err(error);
            }
            tracing::debug!(code = error.code, failures, "call failed, trying again");
            tokio::time::sleep(self.retry.wait(failures)).await;
        }
    }
}

fn authorization(key: &str) -> Result<MetadataValue<Ascii>, ClientError> {
    let value = format!("Bearer {}", key.trim()).parse::<MetadataValue<Ascii>>();
    let mut value = value.map_err(|_| {
        let advice = "give the key as it was shown, beginning with pmk_";
        ClientError::new(Code::Unauthenticated, "the key has characters that no key has", advice)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_ceiling_and_keep_half() {
        let retry = Retry::default();
        for failures in 1..40 {
            let whole = Duration::from_millis(100 << (failures - 1).min(16)).min(retry.ceiling);
            let wait = retry.wait(failures);
            assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
        }
    }

    #[tokio::test]
    async fn an_address_without_a_server_says_what_to_do() {
        let retry = Retry { attempts_max: 2, base: Duration::ZERO, ceiling: Duration::ZERO };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = crate::Client::connect(&server, None).unwrap();
        let client = crate::Client::new(client.connection().clone().with_retry(retry));
        let error = client.list_products().await.unwrap_err();
        assert!(error.is(Code::Unavailable), "{error:?}");
        assert!(error.message.contains(&server) && error.advice.contains("printmill up"));
    }

    #[tokio::test]
    async fn wrong_addresses_are_refused_before_anything_is_sent() {
        for wrong in ["127.0.0.1:7070", "https://example.com", "http://", "", "ftp://x"] {
            assert!(Connection::new(wrong, None).is_err(), "{wrong}");
        }
        assert!(Connection::new("http://127.0.0.1:1", Some("pmk_\n")).is_ok());
        assert!(Connection::new("http://127.0.0.1:1", Some("pmk_\n_x")).is_err());
    }
}
