//! Asking an HTTP server that is near: a machine's metadata service, a node on the same machine.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// How long an answer may take, and how long reading it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Answers are read up to so many bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The address is none.
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    /// Nobody answers there.
    #[error("there is no answer")]
    Send(#[from] hyper_util::client::legacy::Error),
    /// The answer is too long, or its sender went away.
    #[error("the answer broke off")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It takes too long.
    #[error("there is no answer within {ANSWER_LIMIT:?}")]
    Late(#[from] tokio::time::error::Elapsed),
    /// The answer is no success.
    #[error("the answer is {0}")]
    Status(StatusCode),
}

/// Sends a request without a body.
pub(crate) async fn send(
    method: Method,
    address: &str,
    header: Option<(&str, &str)>,
) -> Result<Response<Incoming>, AskError> {
    let mut request = Request::builder().method(method).uri(address);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
    let answer = client.request(request.body(Empty::new())?);
    Ok(tokio::time::timeout(ANSWER_LIMIT, answer).await??)
}

/// The text of a success.
pub(crate) async fn text(answer: Response<Incoming>) -> Result<String, AskError> {
    if !answer.status().is_success() {
        return Err(AskError::Status(answer.status()));
    }
    read(answer).await
}

/// The text of any answer.
pub(crate) async fn read(answer: Response<Incoming>) -> Result<String, AskError> {
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let body = tokio::time::timeout(ANSWER_LIMIT, body).await?.map_err(AskError::Read)?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}
