//! The client that runs in a print facility: takes on print jobs, fetches and checks their files,
//! has them made, and reports on them.
//!
//! ```text
//! lease ─▶ fetch and check the file ─▶ accept ─▶ printing ─▶ shipped
//!   └──── kept alive by heartbeats ────┘  └─ goes on after a restart ─┘
//! ```
//!
//! Until a job is accepted it belongs to whoever leased its ticket; from then on it is this
//! facility's. Nothing is kept here that the server does not know, except the files in the
//! spool, which can be fetched again. So the client may be killed at any moment, and run again.

mod job;
mod press;

pub use press::{Press, PressError, SimulatedPress};

use crate::call::Retry;
use crate::client::Client;
use crate::error::ClientError;
use crate::v1::{LeaseWorkRequest, ListPrintJobsRequest, PrintJob, PrintJobState, Tracking};
use job::Work;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long one question for work waits for an answer at most.
const LEASE_WAIT: Duration = Duration::from_secs(10);

/// How a facility works.
#[derive(Debug, Clone)]
pub struct FacilityOptions {
    /// Where files lie until their job is shipped. Only this client may use it.
    pub spool: PathBuf,
    /// Who it is, for people who look at a leased ticket.
    pub holder: String,
    /// Jobs at the same time.
    pub jobs_max: usize,
    /// How often a lease is kept alive. It must be well below its length, 10 s.
    pub heartbeat: Duration,
    /// How often to ask for jobs that are accepted and that nobody here works on: from before a
    /// restart, or because the answer to the acceptance was lost.
    pub resume: Duration,
}

impl FacilityOptions {
    /// A facility with a spool folder, four jobs at a time, a heartbeat of 3 s, and a look for
    /// forgotten jobs every minute.
    pub fn new(spool: PathBuf, holder: impl Into<String>) -> Self {
        Self {
            spool,
            holder: holder.into(),
            jobs_max: 4,
            heartbeat: Duration::from_secs(3),
            resume: Duration::from_secs(60),
        }
    }
}

/// What a facility tells the people in it.
#[derive(Debug, Clone)]
pub enum FacilityNote {
    /// A job was leased; its file is fetched now.
    Leased(Box<PrintJob>),
    /// So many bytes of so many of a job's file are here.
    Fetching {
        /// The job.
        job: String,
        /// Bytes here.
        received: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A job is ours, its file is here and right.
    Accepted(Box<PrintJob>),
    /// A job that was accepted earlier, and that nobody works on, goes on.
    Resumed(Box<PrintJob>),
    /// A job is on the press.
    Printing(Box<PrintJob>),
    /// A job is on its way.
    Shipped(Box<PrintJob>, Tracking),
    /// A job was not taken on; somebody else or another attempt will do it.
    GivenUp {
        /// The job.
        job: String,
        /// Why.
        error: ClientError,
    },
    /// The server, or what it needs, does not answer; the client keeps asking.
    Waiting(ClientError),
}

/// Who wants to know.
type Observer = Arc<dyn Fn(FacilityNote) + Send + Sync>;

/// What all jobs of a facility share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) options: FacilityOptions,
    pub(crate) press: Arc<dyn Press>,
    pub(crate) observer: Observer,
    pub(crate) shutdown: CancellationToken,
    /// The jobs that tasks of this client work on.
    pub(crate) at_work: Mutex<HashSet<String>>,
}

/// A facility's client. It works until it is told to stop.
pub struct FacilityClient {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl FacilityClient {
    /// A client with a facility's key. Each note goes to `observer`, which must not block.
    pub fn new(
        client: Client,
        options: FacilityOptions,
        press: Arc<dyn Press>,
        observer: impl Fn(FacilityNote) + Send + Sync + 'static,
    ) -> Self {
        let jobs_max = options.jobs_max.max(1);
        let shared = Shared {
            client,
            options,
            press,
            observer: Arc::new(observer),
            shutdown: CancellationToken::new(),
            at_work: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            slots: Arc::new(Semaphore::new(jobs_max)),
            tasks: TaskTracker::new(),
        }
    }

    /// Works until `shutdown`, then hands back what is not accepted. Fails only if the spool
    /// cannot be used or the key is refused; a server that is away is waited for.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ClientError> {
        let spool = &self.shared.options.spool;
        tokio::fs::create_dir_all(spool)
            .await
            .map_err(|error| crate::transfer::local("make the folder", spool, &error))?;
        let outcome = tokio::select! {
            outcome = self.work() => outcome,
            () = shutdown.cancelled() => Ok(()),
        };
        self.shared.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        outcome
    }

    async fn work(&self) -> Result<(), ClientError> {
        let retry = Retry { ceiling: Duration::from_secs(5), ..Retry::default() };
        let (mut failures, mut resume_at) = (0, Instant::now());
        loop {
            let left = resume_at.saturating_duration_since(Instant::now());
            let step = if left.is_zero() {
                let resumed = self.resume().await;
                resumed.map(|()| resume_at = Instant::now() + self.shared.options.resume)
            } else {
                self.lease(left.min(LEASE_WAIT)).await
            };
            let Err(error) = step else {
                failures = 0;
                continue;
            };
            if !error.retryable {
                return Err(error);
            }
            failures += 1;
            (self.shared.observer)(FacilityNote::Waiting(error));
            tokio::time::sleep(retry.wait(failures)).await;
        }
    }

    /// Goes on with what is accepted and nobody works on.
    async fn resume(&self) -> Result<(), ClientError> {
        for state in [PrintJobState::Printing, PrintJobState::Accepted] {
            let mut page_token = String::new();
            loop {
                let request =
                    ListPrintJobsRequest { page_size: 100, page_token, state: state.into() };
                let page = self.shared.client.list_print_jobs(request).await?;
                let at_work = job::at_work(&self.shared).clone();
                for job in page.print_jobs.into_iter().filter(|job| !at_work.contains(&job.id)) {
                    self.start(Work::Accepted(Box::new(job))).await;
                }
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Leases as much as there is room for, waiting for the first.
    async fn lease(&self, wait: Duration) -> Result<(), ClientError> {
        let room = self.slots.acquire().await;
        drop(room);
        let count = self.slots.available_permits().clamp(1, 32);
        let request = LeaseWorkRequest {
            lane: String::new(),
            count: u32::try_from(count).unwrap_or(1),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(0),
            holder: self.shared.options.holder.clone(),
            kinds: vec![],
            worker_id: String::new(),
        };
        for lease in self.shared.client.lease_work(request).await? {
            self.start(Work::Leased(Box::new(lease))).await;
        }
        Ok(())
    }

    async fn start(&self, work: Work) {
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            job::carry_out(shared, work).await;
            drop(slot);
        });
    }
}
