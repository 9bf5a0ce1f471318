//! Spot notices: what says that this machine will be taken away soon.

use crate::ask::{AskError, send, text};
use http::{Method, StatusCode};
use std::path::PathBuf;
use std::time::Duration;

/// How often to ask. Clouds give 30 seconds to two minutes.
const PERIOD: Duration = Duration::from_secs(2);
/// Where the metadata service of Amazon EC2 is.
const AWS: &str = "http://169.254.169.254";
/// Where the metadata service of Google Compute Engine is.
const GCP: &str = "http://metadata.google.internal";

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Amazon EC2, by IMDSv2, at this address.
    Aws(String),
    /// Google Compute Engine, at this address.
    Gcp(String),
    /// A file that appears.
    File(PathBuf),
    /// An address that answers with a success.
    Http(String),
}

impl Notice {
    /// Reads a setting. `aws+http://…` and `gcp+http://…` ask another address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let web = |text: &str| {
            let parsed = url::Url::parse(text).ok()?;
            let good = parsed.scheme() == "http" && parsed.has_host();
            good.then(|| text.trim_end_matches('/').to_owned())
        };
        match text {
            "aws" => Some(Self::Aws(AWS.into())),
            "gcp" => Some(Self::Gcp(GCP.into())),
            _ if text.starts_with("file:///") => {
                Some(Self::File(url::Url::parse(text).ok()?.to_file_path().ok()?))
            }
            _ => match text.split_once('+') {
                Some(("aws", rest)) => web(rest).map(Self::Aws),
                Some(("gcp", rest)) => web(rest).map(Self::Gcp),
                _ => web(text).map(Self::Http),
            },
        }
    }

    /// Waits until the notice comes. That nobody answers is no notice.
    pub(crate) async fn wait(&self) {
        let mut silent = false;
        loop {
            match self.ask().await {
                Ok(true) => return,
                Ok(false) => silent = false,
                Err(error) if !silent => {
                    silent = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "no word on notices");
                }
                Err(_) => {}
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Whether this machine will be taken away.
    async fn ask(&self) -> Result<bool, AskError> {
        match self {
            Self::File(path) => Ok(tokio::fs::try_exists(path).await.unwrap_or(false)),
            Self::Http(address) => {
                let answer = send(Method::GET, address, None).await?;
                Ok(answer.status().is_success())
            }
            Self::Gcp(base) => {
                let address = format!("{base}/computeMetadata/v1/instance/preempted");
                let answer =
                    send(Method::GET, &address, Some(("Metadata-Flavor", "Google"))).await?;
                Ok(text(answer).await?.trim().eq_ignore_ascii_case("true"))
            }
            Self::Aws(base) => {
                let life = Some(("X-aws-ec2-metadata-token-ttl-seconds", "60"));
                let token = send(Method::PUT, &format!("{base}/latest/api/token"), life).await?;
                let token = text(token).await?;
                let address = format!("{base}/latest/meta-data/spot/instance-action");
                let proof = Some(("X-aws-ec2-metadata-token", token.trim()));
                let answer = send(Method::GET, &address, proof).await?;
                match answer.status() {
                    StatusCode::NOT_FOUND => Ok(false),
                    _ => text(answer).await.map(|_| true),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A metadata service that speaks for a machine which is taken away when that is set.
    async fn metadata(taken: Arc<AtomicBool>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (status, text) = reply(&request, taken.load(Ordering::SeqCst));
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    async move { Ok::<_, Infallible>(response) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        address
    }

    fn reply(request: &Request<Incoming>, taken: bool) -> (u16, &'static str) {
        let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
        match (request.method().as_str(), request.uri().path()) {
            ("PUT", "/latest/api/token") => {
                let asked = header("x-aws-ec2-metadata-token-ttl-seconds").is_some();
                if asked { (200, "a-token") } else { (400, "") }
            }
            ("GET", "/latest/meta-data/spot/instance-action") => {
                match (header("x-aws-ec2-metadata-token"), taken) {
                    (Some("a-token"), true) => (200, r#"{"action": "terminate"}"#),
                    (Some("a-token"), false) => (404, ""),
                    _ => (401, ""),
                }
            }
            ("GET", "/computeMetadata/v1/instance/preempted") => {
                match (header("metadata-flavor"), taken) {
                    (Some("Google"), true) => (200, "TRUE"),
                    (Some("Google"), false) => (200, "FALSE"),
                    _ => (403, ""),
                }
            }
            ("GET", "/hook") if taken => (204, ""),
            _ => (404, ""),
        }
    }

    #[tokio::test]
    async fn each_of_them_is_heard_when_the_machine_is_taken_and_not_before() {
        let taken = Arc::new(AtomicBool::new(false));
        let base = metadata(taken.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notice");
        let notices: Vec<Notice> = [
            format!("aws+{base}"),
            format!("gcp+{base}/"),
            format!("{base}/hook"),
            format!("file://{}", file.display()),
        ]
        .iter()
        .map(|text| Notice::parse(text).unwrap())
        .collect();
        for notice in &notices {
            assert!(!notice.ask().await.unwrap(), "{notice:?}");
        }
        taken.store(true, Ordering::SeqCst);
        std::fs::write(&file, "").unwrap();
        for notice in &notices {
            assert!(notice.ask().await.unwrap(), "{notice:?}");
            notice.wait().await;
        }
    }

    #[tokio::test]
    async fn nobody_who_answers_is_no_notice() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for text in [format!("aws+http://{port}"), format!("gcp+http://{port}")] {
            assert!(Notice::parse(&text).unwrap().ask().await.is_err());
        }
    }

    #[test]
    fn what_cannot_be_asked_is_no_setting() {
        for text in
            ["", "azure", "aws+https://x", "https://x", "file://relative", "ftp://x", "aws+"]
        {
            assert_eq!(Notice::parse(text), None, "{text}");
        }
        assert_eq!(Notice::parse("aws"), Some(Notice::Aws(AWS.into())));
    }
}
