//! A facility: takes print jobs on and reports on them, as the facility client does.

use crate::api::Services;
use crate::history::What;
use crate::locked;
use crate::process::Process;
use printmill_backend::database::Page;
use printmill_domain::ids::{FacilityId, Id, PrintJobId};
use printmill_domain::lane::Lane;
use printmill_domain::print_job::{PrintJob, PrintJobState};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::shipment::Tracking;
use printmill_engine::HEARTBEAT;
use printmill_engine::lease::Leased;
use printmill_fulfilment::Report;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Jobs at the same time.
const JOBS_MAX: usize = 4;
/// How often a call is tried again before a job is put down.
const TRIES: u32 = 3;
/// How often to ask for jobs that were accepted and put down.
const RESUME_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Facility {
    id: FacilityId,
    process: Arc<Process>,
    at_work: Arc<Mutex<BTreeSet<PrintJobId>>>,
}

/// Works until it is asked to leave.
pub(crate) async fn run(process: Arc<Process>, id: FacilityId) {
    let facility = Facility { id, process, at_work: Arc::default() };
    let leaving = facility.process.leaving.clone();
    let mut tasks = JoinSet::new();
    tokio::select! {
        biased;
        () = leaving.cancelled() => {}
        () = facility.work(&mut tasks) => {}
    }
}

impl Facility {
    async fn work(&self, tasks: &mut JoinSet<()>) {
        let mut resumed = None;
        loop {
            if resumed.is_none_or(|at: Instant| at.elapsed() >= RESUME_EVERY) {
                self.resume(tasks).await;
                resumed = Some(Instant::now());
            }
            while tasks.len() >= JOBS_MAX {
                tasks.join_next().await;
            }
            let (lane, holder) = (Lane::facility(&self.id), self.process.name.clone());
            let leased = self.call(|services| async move {
                let leases = services.leases;
                let delivered = leases.deliveries(&lane, 2, Duration::from_secs(10)).await?;
                // A caller that hangs up now must not leave a claim behind halfway.
                let claims = tokio::spawn(async move { leases.take_on(delivered, &holder).await });
                Ok(claims.await.map_err(|_| lost())??)
            });
            match leased.await {
                Ok(leased) => {
                    for one in leased {
                        tasks.spawn(self.clone().carry_out(one));
                    }
                }
                Err(_) => self.pause(100..=3_000).await,
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    /// Goes on with what was accepted and nobody works on: before the last start, or by a call
    /// whose answer was lost.
    async fn resume(&self, tasks: &mut JoinSet<()>) {
        for state in [PrintJobState::Printing, PrintJobState::Accepted] {
            let page = Page { before: None, limit: 100, state: Some(state.name().into()) };
            let id = self.id;
            let jobs = self.until_heard(|services| {
                let page = page.clone();
                async move { services.fulfilment.list_jobs(id, page).await }
            });
            for job in jobs.await.into_iter().flatten() {
                if locked(&self.at_work).insert(job.id) {
                    let facility = self.clone();
                    tasks.spawn(async move {
                        facility.go_on(job.id).await;
                        locked(&facility.at_work).remove(&job.id);
                    });
                }
            }
        }
    }

    /// From where a job is now: it may have been shipped since it was listed.
    async fn go_on(&self, id: PrintJobId) {
        let facility = self.id;
        let job = self.until_heard(move |services| async move {
            services.fulfilment.get_job(facility, &id).await
        });
        if let Some(job) = job.await {
            self.make(job.value).await;
        }
    }

    /// Takes a leased job as far as it goes.
    async fn carry_out(self, leased: Leased) {
        let text = leased.ticket.payload["job"].as_str().unwrap_or_default();
        let Ok(job) = PrintJobId::parse(text) else { return };
        if !locked(&self.at_work).insert(job) {
            // The same ticket came again while the job is being worked on.
            return;
        }
        let accepted = tokio::select! {
            biased;
            accepted = self.accept(job, &leased) => accepted,
            lost = self.keep_alive(&leased) => Err(lost),
        };
        let accepted = match accepted {
            // An answer that was lost, or is slower than the next heartbeat: accepting ended the
            // lease.
            Err(problem) if problem.code == Code::LeaseLost => {
                self.accepted_after_all(job, problem).await
            }
            accepted => accepted,
        };
        match accepted {
            Ok(job) => self.make(job).await,
            Err(problem) if problem.code == Code::LeaseLost => {}
            Err(problem) => self.put_down(&leased, problem).await,
        }
        locked(&self.at_work).remove(&job);
    }

    async fn put_down(&self, leased: &Leased, problem: Problem) {
        let leased = leased.clone();
        let failing = self.call(|services| async move {
            let ticket = services.leases.held(&leased.fence).await?;
            let leased = Leased { ticket, ..leased };
            services.fulfilment.fail(&leased, problem, false).await
        });
        if let Err(problem) = failing.await {
            // It runs out by itself.
            self.process.note(format!("could not give a lease back: {problem}"));
        }
    }

    async fn accept(&self, id: PrintJobId, leased: &Leased) -> Result<PrintJob, Problem> {
        self.pause(0..=8_000).await;
        let mut tries = 0;
        loop {
            tries += 1;
            let (facility, leased) = (self.id, leased.clone());
            let accepted = self.call(|services| async move {
                let Leased { fence, receipt, .. } = leased;
                services.fulfilment.accept(facility, &id, &fence, &receipt).await
            });
            match accepted.await {
                Ok(job) => return Ok(job.value),
                Err(problem) if problem.code.retryable() && tries < TRIES => {
                    self.pause(100..=1_000).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// The job, if it is accepted although the lease is gone: then this facility has it.
    async fn accepted_after_all(
        &self,
        id: PrintJobId,
        problem: Problem,
    ) -> Result<PrintJob, Problem> {
        let facility = self.id;
        let get = move |services: Services| async move {
            services.fulfilment.get_job(facility, &id).await
        };
        let job = self.call(get).await?;
        if job.state >= PrintJobState::Accepted { Ok(job.value) } else { Err(problem) }
    }

    /// Keeps the lease alive; returns only when it is lost.
    async fn keep_alive(&self, leased: &Leased) -> Problem {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let leased = leased.clone();
            let extended = self.call(|services| async move {
                let Leased { fence, receipt, .. } = leased;
                let ticket = services.leases.held(&fence).await?;
                services.leases.extend(&ticket, &fence, &receipt, 0, "").await
            });
            match extended.await {
                Err(problem) if !problem.code.retryable() => return problem,
                _ => {}
            }
        }
    }

    /// From the acceptance to the parcel.
    async fn make(&self, job: PrintJob) {
        let id = job.id;
        if job.state >= PrintJobState::Shipped {
            return;
        }
        if job.state < PrintJobState::Printing {
            self.report(id, Report::Printing).await;
        }
        self.pause(0..=10_000).await;
        self.process.record(What::Printed { facility: self.id, job: id });
        let number = format!("{:x}", self.process.site.chance.between(0..=u64::MAX));
        let tracking = Tracking { carrier: "Post".into(), number, url: String::new() };
        self.report(id, Report::Shipped(tracking.clone())).await;
        // What was said comes again, late and in the wrong order.
        if self.process.site.strikes(200) {
            self.pause(0..=5_000).await;
            self.report(id, Report::Printing).await;
            self.report(id, Report::Shipped(tracking)).await;
        }
    }

    /// Reports until it is heard: what is printed is printed.
    async fn report(&self, id: PrintJobId, report: Report) {
        let facility = self.id;
        self.until_heard(|services| {
            let report = report.clone();
            async move { services.fulfilment.report(facility, &id, report, None).await }
        })
        .await;
    }

    /// Asks until there is an answer. A refusal here is a fault of the platform.
    async fn until_heard<T, F>(&self, call: impl Fn(Services) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        loop {
            match self.call(&call).await {
                Ok(answer) => return Some(answer),
                Err(problem) if problem.code.retryable() => self.pause(100..=3_000).await,
                Err(problem) => {
                    self.process.record(What::Wrong(format!("a report was refused: {problem}")));
                    return None;
                }
            }
        }
    }

    async fn call<T, F>(&self, call: impl FnOnce(Services) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        self.process.step().await;
        let answer = self.process.site.call(call).await;
        self.process.step().await;
        answer
    }

    async fn pause(&self, millis: std::ops::RangeInclusive<u64>) {
        tokio::time::sleep(self.process.site.chance.millis(millis)).await;
        self.process.step().await;
    }
}

fn lost() -> Problem {
    Problem::new(Code::Internal, "the lease broke off inside", "lease again in a few seconds")
}
