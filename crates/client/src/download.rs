//! Downloads what a signed link leads to: into a file, resumed where it broke off, and checked.

use crate::call::Retry;
use crate::error::ClientError;
use crate::transfer::{self, STALL_LIMIT, local};
use crate::upload::digest;
use crate::v1::Link;
use http::StatusCode;
use http_body_util::BodyExt;
use printmill_domain::problem::Code;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

impl crate::Client {
    /// Downloads what a link leads to, and checks its SHA-256 when the link names one.
    ///
    /// The bytes go to `PATH.part` and are moved when they are whole and right, so a file at
    /// `path` is always good. A part that is there from before is gone on with. A file that is
    /// there and right is not downloaded again. `progress` gets the bytes so far and in all.
    pub async fn download(
        &self,
        link: &Link,
        path: &Path,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<(), ClientError> {
        if !link.sha256.is_empty()
            && tokio::fs::try_exists(path).await.unwrap_or(false)
            && digest(path).await?.0 == link.sha256
        {
            return Ok(());
        }
        let part = part_path(path);
        let retry: Retry = self.connection().retry();
        let mut failures = 0;
        loop {
            let tried = match fetch(link, &part, &progress).await {
                Ok(()) => check(link, &part).await,
                Err(error) => Err(error),
            };
            let Err(error) = tried else { break };
            // Bytes that are whole and wrong are seldom right the next time.
            failures += if error.is(Code::ChecksumMismatch) { 2 } else { 1 };
            if !error.retryable || failures >= retry.attempts_max {
                return Err(error);
            }
            tracing::debug!(code = error.code, failures, "download failed, trying again");
            tokio::time::sleep(retry.wait(failures)).await;
        }
        tokio::fs::rename(&part, path).await.map_err(|error| local("put in place", path, &error))
    }
}

fn part_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Fetches what is missing of a part.
async fn fetch(
    link: &Link,
    part: &Path,
    progress: &(impl Fn(u64, u64) + Send + Sync),
) -> Result<(), ClientError> {
    let mut have = tokio::fs::metadata(part).await.map_or(0, |found| found.len());
    let total = u64::try_from(link.size).unwrap_or(0);
    if total > 0 && have >= total {
        return Ok(());
    }
    let answer = match transfer::get(&link.url, have).await {
        Err(error) if have > 0 && error.is(Code::RangeNotSatisfiable) => {
            tokio::fs::remove_file(part).await.map_err(|e| local("begin again", part, &e))?;
            return Err(ClientError { retryable: true, ..error });
        }
        answer => answer?,
    };
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        have = 0;
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).append(have > 0).truncate(have == 0);
    let mut file = options.open(part).await.map_err(|error| local("write", part, &error))?;
    let mut body = answer.into_body();
    progress(have, total);
    loop {
        let frame = tokio::time::timeout(STALL_LIMIT, body.frame()).await;
        let frame = frame.map_err(|_| broken("no bytes came for a minute"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| broken("the connection broke"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        file.write_all(&bytes).await.map_err(|error| local("write", part, &error))?;
        have += bytes.len() as u64;
        progress(have, total.max(have));
    }
    file.flush().await.map_err(|error| local("write", part, &error))?;
    if total > 0 && have < total {
        return Err(broken("it ended too early"));
    }
    Ok(())
}

/// Checks a whole part. A wrong one is thrown away.
async fn check(link: &Link, part: &Path) -> Result<(), ClientError> {
    if link.sha256.is_empty() {
        return Ok(());
    }
    let (sha256, _) = digest(part).await?;
    if sha256 == link.sha256 {
        return Ok(());
    }
    tokio::fs::remove_file(part).await.map_err(|error| local("throw away", part, &error))?;
    let error = ClientError::new(
        Code::ChecksumMismatch,
        format!("the file has SHA-256 {sha256}, but {} was announced", link.sha256),
        "download it again; if it stays, the stored file is damaged",
    );
    Err(ClientError { retryable: true, ..error })
}

fn broken(why: &str) -> ClientError {
    ClientError::new(
        Code::Unavailable,
        format!("the download broke off: {why}"),
        "try again; it goes on where it stopped",
    )
}
