//! Plain HTTP for signed links: bytes up, bytes down, nothing of the key.

use crate::error::ClientError;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use printmill_domain::problem::Code;
use std::time::Duration;

/// A body that is sent.
pub(crate) type SentBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The longest wait for the head of an answer, or for the next bytes.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(60);
/// Error answers are read up to so many bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Sends a request to a signed link; answers that are not a success become errors.
pub(crate) async fn send(request: Request<SentBody>) -> Result<Response<Incoming>, ClientError> {
    let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    if request.uri().scheme() != Some(&http::uri::Scheme::HTTP) {
        return Err(ClientError::new(
            Code::LinkInvalid,
            format!("the link to {address} is not one that this client can follow"),
            "this client speaks http only; fetch the link with another program",
        ));
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    let client: HttpClient<_, SentBody> =
        HttpClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let answer = tokio::time::timeout(STALL_LIMIT, client.request(request)).await;
    let answer = answer.map_err(|_| ClientError::unreachable(&address, "it does not answer"))?;
    let answer = answer.map_err(|error| ClientError::unreachable(&address, innermost(&error)))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let body = Limited::new(answer.into_body(), PROBLEM_BYTES_MAX).collect();
    let body = match tokio::time::timeout(STALL_LIMIT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    Err(ClientError::from_http(status, &body))
}

/// What a file of ours could not do.
pub(crate) fn local(doing: &str, path: &std::path::Path, error: &std::io::Error) -> ClientError {
    let (code, advice) = match error.kind() {
        std::io::ErrorKind::NotFound => (Code::NotFound, "check the path"),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            (Code::StorageFull, "free some space, then try again; it goes on where it stopped")
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            (Code::StorageReadOnly, "check who may read and write there")
        }
        _ => (Code::Internal, "check the file and try again"),
    };
    ClientError::new(code, format!("cannot {doing} {}: {error}", path.display()), advice)
}

fn innermost(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}
