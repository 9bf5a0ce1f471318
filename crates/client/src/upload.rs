//! Uploads a file: announce it, send its bytes to the signed link, wait for the verdict.

use crate::client::Client;
use crate::error::ClientError;
use crate::transfer::{self, local};
use crate::v1::{Asset, AssetState, CreateAssetRequest, GetAssetRequest, Link};
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use printmill_domain::problem::Code;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::io::ReaderStream;

const READ_BYTES: usize = 128 * 1024;
/// The longest wait for an inspection.
const VERDICT_LIMIT: Duration = Duration::from_secs(120);

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStep {
    /// So many bytes of so many are on their way. Starts again at 0 when the connection broke.
    Sending {
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes are there; the inspection runs.
    Inspecting,
}

/// Who wants to know how far an upload is.
type Progress = Arc<dyn Fn(UploadStep) + Send + Sync>;

impl Client {
    /// Uploads a file and waits until it is found printable. A file that is not is an error with
    /// the inspection's own code.
    pub async fn upload_file(
        &self,
        path: &Path,
        progress: impl Fn(UploadStep) + Send + Sync + 'static,
    ) -> Result<Asset, ClientError> {
        let progress: Progress = Arc::new(progress);
        let (sha256, size) = digest(path).await?;
        let file_name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        let created = self
            .create_asset(CreateAssetRequest {
                file_name,
                sha256,
                size: i64::try_from(size).unwrap_or(i64::MAX),
                request_id: String::new(),
            })
            .await?;
        let (asset, link) = created
            .asset
            .zip(created.upload)
            .ok_or_else(|| incomplete("an asset and where to send its bytes"))?;
        self.send_file(path, size, &link, &progress).await?;
        progress(UploadStep::Inspecting);
        let waiting = self.verdict(&asset.id);
        tokio::time::timeout(VERDICT_LIMIT, waiting).await.unwrap_or_else(|_| {
            Err(ClientError::new(
                Code::AssetNotReady,
                format!("{} was not inspected within {} s", asset.id, VERDICT_LIMIT.as_secs()),
                "check that a node with the worker role runs; the upload itself is safe",
            ))
        })
    }

    async fn send_file(
        &self,
        path: &Path,
        size: u64,
        link: &Link,
        progress: &Progress,
    ) -> Result<(), ClientError> {
        let retry = self.connection().retry();
        let mut failures = 0;
        loop {
            let error = match put(path, size, link, progress).await {
                // A try whose answer was lost has arrived all the same.
                Err(error) if failures > 0 && error.is(Code::AssetAlreadyUploaded) => return Ok(()),
                Err(error) => error,
                Ok(()) => return Ok(()),
            };
            failures += 1;
            if !error.retryable || failures >= retry.attempts_max {
                return Err(error);
            }
            tokio::time::sleep(retry.wait(failures)).await;
        }
    }

    async fn verdict(&self, asset_id: &str) -> Result<Asset, ClientError> {
        let mut wait = Duration::from_millis(20);
        loop {
            let asset = self.get_asset(GetAssetRequest { asset_id: asset_id.to_owned() }).await?;
            match asset.state() {
                AssetState::Ready => return Ok(asset),
                AssetState::Rejected => return Err(rejected(asset)),
                _ => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(Duration::from_secs(1));
        }
    }
}

async fn put(path: &Path, size: u64, link: &Link, progress: &Progress) -> Result<(), ClientError> {
    let file = tokio::fs::File::open(path).await.map_err(|e| local("read", path, &e))?;
    progress(UploadStep::Sending { sent: 0, total: size });
    let (mut sent, report) = (0, progress.clone());
    let frames = ReaderStream::with_capacity(file, READ_BYTES).map(move |part| {
        let part = part?;
        sent += part.len() as u64;
        report(UploadStep::Sending { sent, total: size });
        Ok(Frame::data(part))
    });
    let request = http::Request::builder()
        .method(if link.method.is_empty() { "PUT" } else { link.method.as_str() })
        .uri(&link.url)
        .header(http::header::CONTENT_LENGTH, size)
        .header(http::header::CONTENT_TYPE, "application/octet-stream")
        .body(StreamBody::new(frames).boxed_unsync())
        .map_err(|error| {
            let message = format!("the upload link cannot be used: {error}");
            ClientError::new(Code::LinkInvalid, message, "ask for a new link")
        })?;
    transfer::send(request).await.map(drop)
}

/// The SHA-256 in hexadecimal and the length of a file.
pub(crate) async fn digest(path: &Path) -> Result<(String, u64), ClientError> {
    let owned = path.to_owned();
    let digested = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(owned)?;
        let (mut hash, mut buffer, mut size) = (Sha256::new(), vec![0; READ_BYTES], 0);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((hex::encode(hash.finalize()), size));
            }
            hash.update(&buffer[..count]);
            size += count as u64;
        }
    });
    let digested = digested.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    digested.map_err(|error| local("read", path, &error))
}

fn rejected(asset: Asset) -> ClientError {
    let Some(why) = asset.rejection else {
        return incomplete("why the file is not usable");
    };
    ClientError {
        code: why.code,
        message: format!("{}: {}", asset.file_name, why.message),
        advice: why.advice,
        violations: vec![],
        retryable: false,
    }
}

pub(crate) fn incomplete(what: &str) -> ClientError {
    ClientError::new(
        Code::Internal,
        format!("the server's answer lacks {what}"),
        "use a client and a server of the same version",
    )
}
