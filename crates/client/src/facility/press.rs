//! What makes a job: the place where a facility's own software goes.

use crate::v1::{PrintJob, Tracking};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// Why a job could not be made. The job stays accepted and is tried again within a minute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the press failed: {reason}")]
pub struct PressError {
    /// What happened.
    pub reason: String,
}

/// Makes jobs: prints, binds, packs and hands the parcel to a carrier.
///
/// # Contract
///
/// - A job can come again after the client was stopped in the middle, or after an error; one that
///   is made already must not be made twice, and answers with the same tracking.
/// - The call may be dropped at any await when the client stops.
#[async_trait]
pub trait Press: Send + Sync {
    /// Makes a job from its print-ready file.
    async fn make(&self, job: &PrintJob, file: &Path) -> Result<Tracking, PressError>;
}

/// A press for trying things out: waits, and makes up a tracking number that is always the same
/// for the same job.
#[derive(Debug, Clone)]
pub struct SimulatedPress {
    /// How long a job takes.
    pub time: Duration,
}

#[async_trait]
impl Press for SimulatedPress {
    async fn make(&self, job: &PrintJob, _file: &Path) -> Result<Tracking, PressError> {
        tokio::time::sleep(self.time).await;
        let digest = Sha256::digest(job.id.as_bytes());
        let serial = digest[..8].iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let number = format!("PM{:010}", serial % 10_000_000_000);
        let url = format!("https://tracking.example/{number}");
        Ok(Tracking { carrier: "Simulated Post".into(), number, url })
    }
}
