//! Plain HTTP for signed links: bytes up, bytes down, nothing of the key.

use crate::error::ClientError;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Limited};
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
/// How often a download is sent on.
const REDIRECTS_MAX: usize = 3;
/// Error answers are read up to so many bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Gets what a signed link leads to, from a byte on. A node may send the client on to the store
/// that has the bytes.
pub(crate) async fn get(url: &str, from: u64) -> Result<Response<Incoming>, ClientError> {
    let mut url = url.to_owned();
    for _ in 0..REDIRECTS_MAX {
        let mut request = Request::builder().method("GET").uri(&url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let nothing = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = request.body(nothing).map_err(|error| {
            let message = format!("the download link cannot be used: {error}");
            ClientError::new(Code::LinkInvalid, message, "ask for a new link")
        })?;
        let answer = exchange(request).await?;
        let elsewhere = answer.headers().get(header::LOCATION);
        let elsewhere = elsewhere.and_then(|location| location.to_str().ok());
        match elsewhere.filter(|_| answer.status().is_redirection()) {
            Some(location) => url = location.to_owned(),
            None => return successful(answer).await,
        }
    }
    let message = "the download link leads from one place to the next";
    Err(ClientError::new(Code::LinkInvalid, message, "ask for a new link"))
}

/// Sends a request to a signed link; answers that are not a success become errors.
pub(crate) async fn send(request: Request<SentBody>) -> Result<Response<Incoming>, ClientError> {
    successful(exchange(request).await?).await
}

async fn exchange(request: Request<SentBody>) -> Result<Response<Incoming>, ClientError> {
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
    answer.map_err(|error| ClientError::unreachable(&address, innermost(&error)))
}

async fn successful(answer: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request after the other, and gives back what was asked.
    async fn answering(listener: TcpListener, answers: Vec<String>) -> Vec<String> {
        let mut asked = vec![];
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap();
            asked.push(String::from_utf8_lossy(&head[..count]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn a_download_goes_where_the_node_sends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let bytes = "HTTP/1.1 206 Partial Content\r\ncontent-length: 3\r\n\r\nabc".to_owned();
        let answers = vec![redirect(&format!("{base}/store?signature=x")), bytes];
        let served = tokio::spawn(answering(listener, answers));
        let answer = get(&format!("{base}/link"), 10).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "abc");
        let asked = served.await.unwrap();
        assert!(asked[0].starts_with("GET /link ") && asked[1].starts_with("GET /store?sig"));
        assert!(asked.iter().all(|asked| asked.contains("range: bytes=10-")), "{asked:?}");
    }

    #[tokio::test]
    async fn a_download_is_not_sent_on_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = format!("http://{}/link", listener.local_addr().unwrap());
        let answers = vec![redirect(&link); REDIRECTS_MAX];
        let served = tokio::spawn(answering(listener, answers));
        assert!(get(&link, 0).await.unwrap_err().is(Code::LinkInvalid));
        assert_eq!(served.await.unwrap().len(), REDIRECTS_MAX);
    }
}
