//! Workers: lease, heartbeat, perform, decide, commit. As many at once as each lane allows.

use crate::HEARTBEAT;
use crate::control::{Control, Heed, InWork, Introduction};
use crate::handler::{Failure, Handler, Handlers, Work};
use crate::lease::{Leased, Leases};
use crate::metrics::Metrics;
use crate::settle::{Outcome, Settling, broken_off};
use crate::slots::{Slot, Slots};
use printmill_backend::queue::Delivery;
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::Ticket;
use printmill_domain::ticket_end::{Admission, overdue};
use printmill_domain::worker::WorkerLane;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// How long a lease call waits for work before it asks again.
const LEASE_WAIT: Duration = Duration::from_secs(20);
/// How many tickets are leased at once at most.
const LEASES_MAX: usize = 32;
/// How long to wait after the queue or database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// A lane and how many of its tickets may be in work at once.
#[derive(Debug, Clone)]
pub struct ServedLane {
    /// The lane.
    pub lane: Lane,
    /// How many at once; at least 1.
    pub concurrency: usize,
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Who holds the leases, for people who look at a ticket.
    pub holder: String,
    /// What it serves.
    pub lanes: Vec<ServedLane>,
    /// How long running work may go on after the shutdown; then it is handed back.
    pub drain: Duration,
}

/// What a worker tells of its work to who wants to know.
#[derive(Debug, Clone, Copy)]
pub enum Activity<'a> {
    /// It took this ticket on.
    Begun(&'a Ticket),
    /// It is through with an attempt at this ticket.
    Ended {
        /// The ticket, as it was when it was taken on.
        ticket: &'a Ticket,
        /// What came of it, as in the metrics: `done`, `retried`, `dead`, `released`, `lost`.
        outcome: &'static str,
        /// How long the attempt took.
        took: Duration,
    },
}

/// Called at each step of a worker's work; it must not block.
pub type Watcher = Arc<dyn Fn(Activity<'_>) + Send + Sync>;

/// Serves lanes with handlers.
#[derive(Clone)]
pub struct Worker {
    leases: Leases,
    handlers: Handlers,
    settling: Settling,
    metrics: Metrics,
    options: Arc<WorkerOptions>,
    /// The one place for tickets that may take this process down.
    suspects: Arc<Semaphore>,
    watcher: Option<Watcher>,
    in_work: Arc<InWork>,
    /// Its record, if it keeps one.
    control: Option<Control>,
}

impl Worker {
    /// A worker that serves lanes with handlers.
    pub fn new(
        leases: Leases,
        handlers: Handlers,
        metrics: Metrics,
        options: WorkerOptions,
    ) -> Self {
        let settling = Settling::new(leases.clone(), handlers.clone());
        Self {
            leases,
            handlers,
            settling,
            metrics,
            options: Arc::new(options),
            suspects: Arc::new(Semaphore::new(1)),
            watcher: None,
            in_work: Arc::default(),
            control: None,
        }
    }

    /// Tells somebody what it does.
    pub fn watched_by(self, watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// The same worker, with a record of it that operators read and change while it runs.
    pub fn introduced(mut self, introduction: Introduction) -> Self {
        let lanes = self.options.lanes.iter().map(|served| {
            let configured = u16::try_from(served.concurrency.max(1)).unwrap_or(u16::MAX);
            WorkerLane::new(served.lane.clone(), configured)
        });
        let control = Control {
            database: self.leases.database().clone(),
            clock: self.leases.clock().clone(),
            introduction,
            lanes: lanes.collect(),
            slots: BTreeMap::new(),
            in_work: self.in_work.clone(),
            acted: Arc::default(),
        };
        self.control = Some(control);
        self
    }

    /// Works until `shutdown`, then lets running work finish within the drain time and hands the
    /// rest back.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        self.run_until(shutdown, std::future::pending()).await;
    }

    /// As `run`; when `notice` comes first or meanwhile, everything is handed back at once, since
    /// the machine is about to go.
    pub async fn run_until(
        mut self,
        shutdown: impl Future<Output = ()>,
        notice: impl Future<Output = ()>,
    ) {
        let slots: BTreeMap<Lane, Arc<Slots>> = self
            .options
            .lanes
            .iter()
            .map(|served| (served.lane.clone(), Slots::new(served.concurrency.max(1))))
            .collect();
        let Some(mut control) = self.control.take() else {
            return self.serve_all(slots, shutdown, notice).await;
        };
        control.slots = slots.clone();
        self.handlers = self.handlers.with(Heed(control.clone()));
        self.settling = Settling::new(self.leases.clone(), self.handlers.clone());
        let mut served = slots;
        served.insert(control.own_lane(), Slots::new(1));
        let stop = CancellationToken::new();
        let stopped = stop.clone().drop_guard();
        let work = async {
            self.serve_all(served, shutdown, notice).await;
            drop(stopped);
        };
        tokio::join!(work, control.run(stop));
    }

    async fn serve_all(
        self,
        served: BTreeMap<Lane, Arc<Slots>>,
        shutdown: impl Future<Output = ()>,
        notice: impl Future<Output = ()>,
    ) {
        tokio::pin!(notice);
        let leaving = CancellationToken::new();
        let cancel_work = CancellationToken::new();
        let mut lanes = JoinSet::new();
        for (lane, slots) in served {
            let worker = self.clone();
            lanes.spawn(worker.serve(lane, slots, leaving.clone(), cancel_work.clone()));
        }
        let drain = tokio::select! {
            biased;
            () = shutdown => self.options.drain,
            () = &mut notice => Duration::ZERO,
        };
        leaving.cancel();
        let drained = async { while lanes.join_next().await.is_some() {} };
        tokio::pin!(drained);
        tokio::select! {
            biased;
            () = &mut drained => return,
            () = tokio::time::sleep(drain) => {}
            () = &mut notice, if !drain.is_zero() => {}
        }
        cancel_work.cancel();
        drained.await;
    }

    async fn serve(
        self,
        lane: Lane,
        slots: Arc<Slots>,
        leaving: CancellationToken,
        cancel_work: CancellationToken,
    ) {
        let mut running = JoinSet::new();
        loop {
            let taken = tokio::select! {
                biased;
                () = leaving.cancelled() => break,
                taken = slots.take(LEASES_MAX) => taken,
            };
            let count = u16::try_from(taken.len()).unwrap_or(1);
            let delivered = tokio::select! {
                biased;
                delivered = self.leases.deliveries(&lane, count, LEASE_WAIT) => delivered,
                () = leaving.cancelled() => break,
                // There are to be fewer: nothing more is waited for.
                () = slots.overdrawn() => continue,
            };
            while running.try_join_next().is_some() {}
            match delivered {
                // The next messages are asked for while these are claimed.
                Ok(delivered) => {
                    let worker = self.clone();
                    running.spawn(worker.take_on(delivered, taken, cancel_work.clone()));
                }
                Err(error) => {
                    tracing::warn!(%lane, error = %error.chain(), "could not lease");
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(PAUSE_AFTER_ERROR) => {}
                        () = leaving.cancelled() => break,
                    }
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Claims what was delivered and works on it. A claim is never broken off: nobody would work
    /// on what it claimed.
    async fn take_on(
        self,
        delivered: Vec<Delivery>,
        mut slots: Vec<Slot>,
        cancel_work: CancellationToken,
    ) {
        slots.truncate(delivered.len());
        let leased = match self.leases.take_on(delivered, &self.options.holder).await {
            Ok(leased) => leased,
            Err(error) => {
                // The slots are kept meanwhile, so that a database that is away is left alone.
                tracing::warn!(error = %error.chain(), "could not claim");
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(PAUSE_AFTER_ERROR) => {}
                    () = cancel_work.cancelled() => {}
                }
                return;
            }
        };
        slots.truncate(leased.len());
        let works = leased.into_iter().zip(slots).map(|(one, slot)| {
            let (worker, cancelled) = (self.clone(), cancel_work.child_token());
            async move {
                let receipt = one.receipt.clone();
                let outcome = worker.work(one, cancelled).await;
                // The next one need not wait for that.
                drop(slot);
                worker.settling.acknowledge(&receipt, outcome).await;
            }
        });
        futures::future::join_all(works).await;
    }

    async fn work(&self, leased: Leased, cancelled: CancellationToken) -> Outcome {
        let ticket = &leased.ticket;
        let span = tracing::info_span!(
            "ticket",
            id = %ticket.id,
            kind = %ticket.kind,
            attempt = ticket.attempt,
            merchant = %ticket.merchant,
            traceparent = ticket.trace.as_deref().unwrap_or_default(),
        );
        let kind = ticket.kind.clone();
        self.metrics.claimed.with_label_values(&[kind.as_str()]).inc();
        let waited = (self.leases.now() - ticket.due_at).to_std().unwrap_or_default();
        self.metrics.wait_seconds.with_label_values(&[kind.as_str()]).observe(waited.as_secs_f64());
        self.metrics.in_work.inc();
        let _active = self.in_work.begin(ticket, self.leases.now());
        let (ticket, begun) = (ticket.clone(), Instant::now());
        self.tell(Activity::Begun(&ticket));
        let outcome = self.attempt(leased, cancelled).instrument(span.clone()).await;
        let (ended, took) = (outcome, begun.elapsed());
        let outcome = ended.name();
        self.tell(Activity::Ended { ticket: &ticket, outcome, took });
        let seconds = took.as_secs_f64();
        self.metrics.work_seconds.with_label_values(&[kind.as_str()]).observe(seconds);
        self.metrics.in_work.dec();
        self.metrics.settled.with_label_values(&[kind.as_str(), outcome]).inc();
        span.in_scope(|| tracing::info!(outcome, "ticket settled"));
        ended
    }

    fn tell(&self, activity: Activity<'_>) {
        if let Some(watcher) = &self.watcher {
            watcher(activity);
        }
    }

    /// One attempt, and what came of it.
    async fn attempt(&self, leased: Leased, cancelled: CancellationToken) -> Outcome {
        let Some(handler) = self.handlers.get(&leased.ticket.kind).cloned() else {
            tracing::error!("no handler for this kind of ticket");
            // Another node may know it, as while a new version is rolled out. Handed back at
            // once it would only be tossed about.
            tokio::select! {
                biased;
                () = tokio::time::sleep(self.leases.ttl() / 3) => {}
                () = cancelled.cancelled() => {}
            }
            let _ = self.leases.release(&leased.ticket, &leased.fence, &leased.receipt).await;
            return Outcome::Released;
        };
        let work = Work::new(leased.ticket.clone(), cancelled.clone());
        let _alone = match leased.ticket.admission(&handler.retry(), self.leases.now()) {
            Admission::Work => None,
            Admission::WorkAlone => match self.suspects.clone().try_acquire_owned() {
                Ok(alone) => Some(alone),
                // If the other one takes this process down, this one must not be blamed for it.
                Err(_) => return self.postpone(&leased).await,
            },
            Admission::Cancel(problem) | Admission::GiveUp(problem) => {
                return self.settling.fail(&work, &leased, Failure::hopeless(problem)).await;
            }
        };
        let waited = (self.leases.now() - leased.ticket.due_at).to_std().unwrap_or_default();
        let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(waited_us, "ticket started");
        let (ticket, performed) = match self.perform(handler, &work, &leased, &cancelled).await {
            Some(performed) => performed,
            None => return Outcome::Lost,
        };
        let leased = Leased { ticket, ..leased };
        let failure = match performed {
            Ok(value) => match self.settling.commit(&work, &leased, &value).await {
                Ok(outcome) => return outcome,
                Err(failure) => failure,
            },
            Err(Stopped::Failed(failure)) => failure,
            Err(Stopped::Overdue) => Failure::hopeless(overdue(&leased.ticket.id)),
            Err(Stopped::Cancelled) => {
                let Leased { ticket, fence, receipt } = &leased;
                let _ = self.leases.release(ticket, fence, receipt).await;
                return Outcome::Released;
            }
        };
        self.settling.fail(&work, &leased, failure).await
    }

    /// Runs the handler with a heartbeat beside it. Gives the ticket as it is then, and what was
    /// performed; nothing when the lease was lost.
    async fn perform(
        &self,
        handler: Arc<dyn Handler>,
        work: &Work,
        leased: &Leased,
        cancelled: &CancellationToken,
    ) -> Option<(Ticket, Result<Value, Stopped>)> {
        let finished = CancellationToken::new();
        let heart = self.clone().heartbeat(
            leased.clone(),
            work.clone(),
            finished.clone(),
            cancelled.clone(),
        );
        let mut heart = AbortOnDropHandle::new(tokio::spawn(heart.in_current_span()));
        // The handler runs as a task of its own, so that a panic in it is a failed attempt.
        let task = {
            let work = work.clone();
            let perform = async move { handler.perform(&work).await };
            AbortOnDropHandle::new(tokio::spawn(perform.in_current_span()))
        };
        let performed = tokio::select! {
            biased;
            performed = task => {
                let performed = performed.unwrap_or_else(|_| Err(broken_off().into()));
                performed.map_err(Stopped::Failed)
            }
            _ = &mut heart => {
                cancelled.cancel();
                return None;
            }
            () = cancelled.cancelled() => Err(Stopped::Cancelled),
            () = self.until(leased.ticket.deadline) => {
                cancelled.cancel();
                Err(Stopped::Overdue)
            }
        };
        // A heartbeat under way is waited for, so that the ticket is settled as it is stored.
        finished.cancel();
        let ticket = heart.await.ok().flatten()?;
        let stopped = matches!(performed, Err(Stopped::Cancelled)) && ticket.cancel.is_some();
        let wanted = ticket.cancel.clone().filter(|_| stopped).map(Failure::hopeless);
        Some((ticket, wanted.map_or(performed, |failure| Err(Stopped::Failed(failure)))))
    }

    /// Waits for a deadline; for ever when there is none.
    async fn until(&self, deadline: Option<Timestamp>) {
        match deadline {
            None => std::future::pending().await,
            Some(deadline) => {
                let left = (deadline - self.leases.now()).to_std().unwrap_or_default();
                tokio::time::sleep(left).await;
            }
        }
    }

    /// Hands a ticket back for a second or so.
    async fn postpone(&self, leased: &Leased) -> Outcome {
        let Leased { ticket, fence, receipt } = leased;
        let jitter = u64::from(printmill_backend::fresh::jitter());
        let pause = Duration::from_millis(500 + jitter);
        match self.leases.postpone(ticket, fence, receipt, pause).await {
            Ok(()) => Outcome::Released,
            Err(_) => Outcome::Lost,
        }
    }

    /// Extends the lease until the work is finished, and gives the ticket as it is then; nothing
    /// when the lease was lost. Hears of it when the ticket is not wanted any more.
    async fn heartbeat(
        self,
        leased: Leased,
        work: Work,
        finished: CancellationToken,
        cancelled: CancellationToken,
    ) -> Option<Ticket> {
        let Leased { mut ticket, fence, receipt } = leased;
        loop {
            tokio::select! {
                biased;
                () = finished.cancelled() => return Some(ticket),
                () = tokio::time::sleep(HEARTBEAT.min(self.leases.ttl() / 3)) => {}
            }
            let (progress, message) = (work.progress(), work.message());
            match self.leases.extend(&ticket, &fence, &receipt, progress, &message).await {
                Ok(extended) => ticket = extended,
                Err(problem) if problem.code == Code::LeaseLost => {
                    tracing::warn!("lease lost");
                    return None;
                }
                Err(problem) => tracing::warn!(%problem, "heartbeat failed"),
            }
            if ticket.cancel.is_some() && !cancelled.is_cancelled() {
                tracing::info!("ticket cancelled");
                cancelled.cancel();
            }
        }
    }
}

/// Why nothing was performed.
enum Stopped {
    /// The attempt failed.
    Failed(Failure),
    /// The deadline passed.
    Overdue,
    /// The worker is leaving.
    Cancelled,
}
