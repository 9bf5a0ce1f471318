//! One job, from the lease to the parcel.

use super::{FacilityNote, Shared};
use crate::call::Retry;
use crate::client::Client;
use crate::error::ClientError;
use crate::upload::incomplete;
use crate::v1::{
    AcceptPrintJobRequest, ExtendWorkRequest, FailWorkRequest, GetPrintJobFileRequest,
    GetPrintJobRequest, Lease, PrintJob, PrintJobState, ReleaseWorkRequest, ReportPrintJobRequest,
    Tracking,
};
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::Code;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The longest wait for what is away.
const AWAY_CEILING: Duration = Duration::from_secs(5);

/// What a task of the client begins with.
pub(super) enum Work {
    /// A ticket that was just leased.
    Leased(Box<Lease>),
    /// A job that was accepted earlier.
    Accepted(Box<PrintJob>),
}

/// Why a job was put down.
enum Stop {
    /// The client stops.
    Shutdown,
    /// It cannot be done here and now.
    Failed(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

/// Takes a job as far as it goes.
pub(super) async fn carry_out(shared: Arc<Shared>, work: Work) {
    let (job_id, trace) = match &work {
        Work::Accepted(job) => (job.id.clone(), None),
        Work::Leased(lease) => (job_of(lease).unwrap_or_default(), Some(&*lease.traceparent)),
    };
    let client = shared.client.with_trace(trace);
    let begun = at_work(&shared).insert(job_id.clone());
    if !begun && !job_id.is_empty() {
        // The same ticket came again while the job is being worked on: the first task keeps it.
        return;
    }
    let task = Task { shared: shared.clone(), client, job_id: job_id.clone() };
    let outcome = match work {
        Work::Leased(lease) => task.take_on(*lease).await,
        Work::Accepted(_) => task.go_on().await,
    };
    if let Err(Stop::Failed(error)) = outcome {
        task.note(FacilityNote::GivenUp { job: job_id.clone(), error });
    }
    at_work(&shared).remove(&job_id);
}

/// The jobs that tasks of this client work on.
pub(super) fn at_work(
    shared: &Shared,
) -> std::sync::MutexGuard<'_, std::collections::HashSet<String>> {
    shared.at_work.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The print job that a ticket is about.
fn job_of(lease: &Lease) -> Option<String> {
    if lease.kind != MAKE {
        return None;
    }
    match &lease.payload.as_ref()?.fields.get("job")?.kind {
        Some(pbjson_types::value::Kind::StringValue(id)) => Some(id.clone()),
        _ => None,
    }
}

struct Task {
    shared: Arc<Shared>,
    client: Client,
    job_id: String,
}

impl Task {
    fn note(&self, note: FacilityNote) {
        (self.shared.observer)(note);
    }

    fn file_path(&self) -> PathBuf {
        self.shared.options.spool.join(format!("{}.pdf", self.job_id))
    }

    /// From the lease to the acceptance, kept alive by heartbeats; then on to the press.
    async fn take_on(&self, lease: Lease) -> Result<(), Stop> {
        let progress = AtomicU32::new(0);
        let accepted = tokio::select! {
            accepted = self.accept_when_possible(&lease, &progress) => accepted,
            error = self.keep_alive(&lease, &progress) => Err(Stop::Failed(error)),
            () = self.shared.shutdown.cancelled() => Err(Stop::Shutdown),
        };
        let accepted = match accepted {
            // An answer that was lost, or is slower than the next heartbeat: accepting ended the
            // lease.
            Err(Stop::Failed(error)) if error.is(Code::LeaseLost) => {
                self.accepted_after_all(error).await.map_err(Stop::Failed)
            }
            accepted => accepted,
        };
        let stop = match accepted {
            Ok(job) => {
                self.note(FacilityNote::Accepted(Box::new(job.clone())));
                return self.make(job).await;
            }
            Err(stop) => stop,
        };
        let lease_token = lease.lease_token;
        let given_back = match &stop {
            Stop::Shutdown => {
                self.client.release_work(ReleaseWorkRequest { lease_token }).await.map(drop)
            }
            Stop::Failed(error) if error.is(Code::LeaseLost) => Ok(()),
            Stop::Failed(error) => {
                let hopeless = self.job_id.is_empty();
                let message = format!("{}: {}", error.code, error.message);
                let failed = FailWorkRequest { lease_token, message, hopeless };
                self.client.fail_work(failed).await.map(drop)
            }
        };
        if let Err(error) = given_back {
            // It runs out by itself.
            tracing::debug!(code = error.code, job = self.job_id, "lease was not given back");
        }
        Err(stop)
    }

    /// Accepts a job. While something on the server's side is away the job waits here, under its
    /// lease: that is no fault of the job, and nobody else could do better.
    async fn accept_when_possible(
        &self,
        lease: &Lease,
        progress: &AtomicU32,
    ) -> Result<PrintJob, Stop> {
        let retry = Retry { ceiling: AWAY_CEILING, ..Retry::default() };
        let mut failures = 0;
        loop {
            match self.accept(lease, progress).await {
                Err(Stop::Failed(error)) if error.retryable && error.is(Code::Unavailable) => {
                    self.note(FacilityNote::Waiting(error));
                }
                accepted => return accepted,
            }
            failures += 1;
            tokio::time::sleep(retry.wait(failures)).await;
        }
    }

    async fn accept(&self, lease: &Lease, progress: &AtomicU32) -> Result<PrintJob, Stop> {
        if self.job_id.is_empty() {
            let message = format!("a ticket of kind '{}' is none of a facility's", lease.kind);
            let advice = "lease from the facility's own lane";
            return Err(ClientError::new(Code::InvalidState, message, advice).into());
        }
        let request = GetPrintJobRequest { print_job_id: self.job_id.clone() };
        let job = self.client.get_print_job(request).await?;
        self.note(FacilityNote::Leased(Box::new(job.clone())));
        self.fetch(&job, progress).await?;
        let request = AcceptPrintJobRequest {
            print_job_id: self.job_id.clone(),
            lease_token: lease.lease_token.clone(),
        };
        Ok(self.client.accept_print_job(request).await?)
    }

    /// The job, if it is accepted although the lease is gone: then this facility has it.
    async fn accepted_after_all(&self, error: ClientError) -> Result<PrintJob, ClientError> {
        let request = GetPrintJobRequest { print_job_id: self.job_id.clone() };
        let job = self.client.get_print_job(request).await?;
        if job.state() >= PrintJobState::Accepted { Ok(job) } else { Err(error) }
    }

    /// Fetches the file and checks it; a link that ran out on the way is asked for again.
    async fn fetch(&self, job: &PrintJob, progress: &AtomicU32) -> Result<(), ClientError> {
        let mut renewed = false;
        loop {
            let request = GetPrintJobFileRequest { print_job_id: self.job_id.clone() };
            let mut link = self.client.get_print_job_file(request).await?;
            if link.sha256.is_empty() {
                link.sha256.clone_from(&job.file_sha256);
            }
            if link.sha256.is_empty() || link.sha256 != job.file_sha256 {
                return Err(incomplete("the file's SHA-256"));
            }
            let report = |received: u64, total: u64| {
                let thousandths = (received * 1000).checked_div(total).unwrap_or(0).min(1000);
                progress.store(u32::try_from(thousandths).unwrap_or(0), Ordering::Relaxed);
                self.note(FacilityNote::Fetching { job: self.job_id.clone(), received, total });
            };
            match self.client.download(&link, &self.file_path(), report).await {
                Err(error) if error.is(Code::LinkExpired) && !renewed => renewed = true,
                fetched => return fetched,
            }
        }
    }

    /// Keeps the lease alive; returns only when it is lost.
    async fn keep_alive(&self, lease: &Lease, progress: &AtomicU32) -> ClientError {
        loop {
            tokio::time::sleep(self.shared.options.heartbeat).await;
            let request = ExtendWorkRequest {
                lease_token: lease.lease_token.clone(),
                progress: progress.load(Ordering::Relaxed),
                message: String::new(),
            };
            match self.client.extend_work(request).await {
                Err(error) if !error.retryable => return error,
                Err(error) => tracing::debug!(code = error.code, "heartbeat failed"),
                Ok(_) => {}
            }
        }
    }

    /// Takes up a job that was accepted earlier, from where it is now: it may have been shipped
    /// since it was listed.
    async fn go_on(&self) -> Result<(), Stop> {
        let request = GetPrintJobRequest { print_job_id: self.job_id.clone() };
        let job = self.client.get_print_job(request).await?;
        if job.state() < PrintJobState::Shipped {
            self.note(FacilityNote::Resumed(Box::new(job.clone())));
        }
        self.make(job).await
    }

    /// From the acceptance to the parcel.
    async fn make(&self, mut job: PrintJob) -> Result<(), Stop> {
        if job.state() < PrintJobState::Printing {
            job = self.until_heard(PrintJobState::Printing, None).await?;
        }
        if job.state() >= PrintJobState::Shipped {
            return Ok(());
        }
        self.note(FacilityNote::Printing(Box::new(job.clone())));
        // After a restart the file may be gone; one that is there and right is not fetched.
        let progress = AtomicU32::new(0);
        tokio::select! {
            fetched = self.fetch(&job, &progress) => fetched?,
            () = self.shared.shutdown.cancelled() => return Err(Stop::Shutdown),
        }
        let path = self.file_path();
        let made = tokio::select! {
            made = self.shared.press.make(&job, &path) => made,
            () = self.shared.shutdown.cancelled() => return Err(Stop::Shutdown),
        };
        let tracking = made.map_err(|error| {
            let advice = "mend the press; the job is kept, and tried again every minute";
            ClientError::new(Code::Internal, error.to_string(), advice)
        })?;
        let job = self.until_heard(PrintJobState::Shipped, Some(tracking.clone())).await?;
        let tracking = job.tracking.clone().unwrap_or(tracking);
        self.note(FacilityNote::Shipped(Box::new(job), tracking));
        if let Err(error) = tokio::fs::remove_file(&path).await {
            tracing::debug!(%error, "a file stays in the spool");
        }
        Ok(())
    }

    /// Reports until the server has heard it: what is printed is printed.
    async fn until_heard(
        &self,
        state: PrintJobState,
        tracking: Option<Tracking>,
    ) -> Result<PrintJob, Stop> {
        loop {
            let request = ReportPrintJobRequest {
                print_job_id: self.job_id.clone(),
                state: state.into(),
                tracking: tracking.clone(),
            };
            let error = match self.client.report_print_job(request).await {
                Ok(job) => return Ok(job),
                Err(error) if error.retryable => error,
                Err(error) => return Err(error.into()),
            };
            self.note(FacilityNote::Waiting(error));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
                () = self.shared.shutdown.cancelled() => return Err(Stop::Shutdown),
            }
        }
    }
}
