//! Workers: lease, heartbeat, perform, decide, commit. As many at once as each lane allows.

use crate::HEARTBEAT;
use crate::handler::{Failure, Handler, Handlers, Work};
use crate::lease::{Leased, Leases};
use crate::metrics::Metrics;
use futures::FutureExt;
use printmill_backend::queue::Delivery;
use printmill_backend::{Change, CommitError};
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// How long a lease call waits for work before it asks again.
const LEASE_WAIT: Duration = Duration::from_secs(20);
/// How many tickets are leased at once at most.
const LEASES_MAX: usize = 32;
/// How long to wait after the queue or database failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// How often a decision is taken again because something changed before its commit.
const DECISIONS_MAX: u32 = 16;

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

/// Serves lanes with handlers.
#[derive(Clone)]
pub struct Worker {
    leases: Leases,
    handlers: Handlers,
    metrics: Metrics,
    options: Arc<WorkerOptions>,
}

impl Worker {
    /// A worker that serves lanes with handlers.
    pub fn new(
        leases: Leases,
        handlers: Handlers,
        metrics: Metrics,
        options: WorkerOptions,
    ) -> Self {
        Self { leases, handlers, metrics, options: Arc::new(options) }
    }

    /// Works until `shutdown`, then lets running work finish within the drain time and hands the
    /// rest back.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let leaving = CancellationToken::new();
        let cancel_work = CancellationToken::new();
        let mut lanes = JoinSet::new();
        for served in self.options.lanes.clone() {
            let worker = self.clone();
            lanes.spawn(worker.serve(served, leaving.clone(), cancel_work.clone()));
        }
        shutdown.await;
        leaving.cancel();
        let drained = async { while lanes.join_next().await.is_some() {} };
        tokio::pin!(drained);
        if tokio::time::timeout(self.options.drain, &mut drained).await.is_err() {
            cancel_work.cancel();
            drained.await;
        }
    }

    async fn serve(
        self,
        served: ServedLane,
        leaving: CancellationToken,
        cancel_work: CancellationToken,
    ) {
        let slots = Arc::new(Semaphore::new(served.concurrency.max(1)));
        let mut running = JoinSet::new();
        loop {
            let first = tokio::select! {
                biased;
                () = leaving.cancelled() => break,
                slot = slots.clone().acquire_owned() => slot,
            };
            let Ok(first) = first else { break };
            let mut taken = vec![first];
            while taken.len() < LEASES_MAX {
                let Ok(slot) = slots.clone().try_acquire_owned() else { break };
                taken.push(slot);
            }
            let count = u16::try_from(taken.len()).unwrap_or(1);
            let delivered = tokio::select! {
                biased;
                delivered = self.leases.deliveries(&served.lane, count, LEASE_WAIT) => delivered,
                () = leaving.cancelled() => break,
            };
            while running.try_join_next().is_some() {}
            match delivered {
                // The next messages are asked for while these are claimed.
                Ok(delivered) => {
                    let worker = self.clone();
                    running.spawn(worker.take_on(delivered, taken, cancel_work.clone()));
                }
                Err(error) => {
                    tracing::warn!(lane = %served.lane, error = %error.chain(), "could not lease");
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
        mut slots: Vec<OwnedSemaphorePermit>,
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
                worker.work(one, cancelled).await;
                drop(slot);
            }
        });
        futures::future::join_all(works).await;
    }

    async fn work(&self, leased: Leased, cancelled: CancellationToken) {
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
        let timer = self.metrics.work_seconds.with_label_values(&[kind.as_str()]).start_timer();
        let outcome = self.attempt(leased, cancelled).instrument(span.clone()).await;
        timer.observe_duration();
        self.metrics.in_work.dec();
        self.metrics.settled.with_label_values(&[kind.as_str(), outcome]).inc();
        span.in_scope(|| tracing::info!(outcome, "ticket settled"));
    }

    /// One attempt, with a heartbeat beside it; what came of it.
    async fn attempt(&self, leased: Leased, cancelled: CancellationToken) -> &'static str {
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
            return "released";
        };
        let work = Work::new(leased.ticket.clone(), cancelled.clone());
        let waited = (self.leases.now() - leased.ticket.due_at).to_std().unwrap_or_default();
        let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(waited_us, "ticket started");
        let finished = CancellationToken::new();
        let heart = self.clone().heartbeat(leased.clone(), work.clone(), finished.clone());
        let mut heart = AbortOnDropHandle::new(tokio::spawn(heart.in_current_span()));
        // The handler runs as a task of its own, so that a panic in it is a failed attempt.
        let task = {
            let (handler, work) = (handler.clone(), work.clone());
            let perform = async move { handler.perform(&work).await };
            AbortOnDropHandle::new(tokio::spawn(perform.in_current_span()))
        };
        let performed = tokio::select! {
            biased;
            performed = task => Some(performed.unwrap_or_else(|_| Err(broken_off().into()))),
            _ = &mut heart => {
                cancelled.cancel();
                return "lost";
            }
            () = cancelled.cancelled() => None,
        };
        // A heartbeat under way is waited for, so that the ticket is settled as it is stored.
        finished.cancel();
        let Ok(Some(ticket)) = heart.await else { return "lost" };
        let settled = match performed {
            Some(Ok(value)) => self.commit(&handler, &work, &leased, &ticket, &value).await,
            Some(Err(failure)) => Err(failure),
            None => {
                let _ = self.leases.release(&ticket, &leased.fence, &leased.receipt).await;
                return "released";
            }
        };
        match settled {
            Ok(outcome) => outcome,
            Err(failure) => self.fail(&handler, &work, &leased, ticket, failure).await,
        }
    }

    /// Extends the lease until the work is finished, and gives the ticket as it is then; nothing
    /// when the lease was lost.
    async fn heartbeat(
        self,
        leased: Leased,
        work: Work,
        finished: CancellationToken,
    ) -> Option<Ticket> {
        let Leased { mut ticket, fence, receipt } = leased;
        loop {
            tokio::select! {
                biased;
                () = finished.cancelled() => return Some(ticket),
                () = tokio::time::sleep(HEARTBEAT.min(self.leases.ttl() / 3)) => {}
            }
            match self.leases.extend(&ticket, &fence, &receipt, work.progress()).await {
                Ok(extended) => ticket = extended,
                Err(problem) if problem.code == Code::LeaseLost => {
                    tracing::warn!("lease lost");
                    return None;
                }
                Err(problem) => tracing::warn!(%problem, "heartbeat failed"),
            }
        }
    }

    /// Decides and commits the effect together with the end of the ticket.
    async fn commit(
        &self,
        handler: &Arc<dyn Handler>,
        work: &Work,
        leased: &Leased,
        ticket: &Ticket,
        performed: &serde_json::Value,
    ) -> Result<&'static str, Failure> {
        for _ in 0..DECISIONS_MAX {
            let deciding = handler.decide(work, performed, self.leases.now());
            let effect = AssertUnwindSafe(deciding).catch_unwind().await;
            let effect = effect.unwrap_or_else(|_| Err(broken_off().into()))?;
            let Leased { fence, receipt, .. } = leased;
            match self.leases.complete(ticket, fence, receipt, effect).await {
                Ok(()) => return Ok("done"),
                Err(CommitError::Stale { .. }) => {}
                Err(CommitError::FenceLost { .. }) => return Ok("lost"),
                Err(CommitError::Answered(_)) => return Ok("lost"),
                Err(CommitError::Backend(error)) => return Err(error.into()),
            }
        }
        Err(Failure::passing(Problem::new(
            Code::Conflict,
            "what it works on is being changed by others all the time",
            "nothing needs to be done; it is tried again",
        )))
    }

    async fn fail(
        &self,
        handler: &Arc<dyn Handler>,
        work: &Work,
        leased: &Leased,
        ticket: Ticket,
        failure: Failure,
    ) -> &'static str {
        let Failure { problem, hopeless } = failure;
        tracing::warn!(%problem, code = %problem.code, hopeless, "attempt failed");
        for _ in 0..DECISIONS_MAX {
            let next = self.leases.after_failure(
                &ticket,
                &leased.fence,
                problem.clone(),
                hopeless,
                &handler.retry(),
            );
            let Ok(next) = next else { return "lost" };
            let dead = next.state == TicketState::Dead;
            let now = self.leases.now();
            let aftermath = if dead {
                let giving_up = AssertUnwindSafe(handler.give_up(work, &problem, now));
                giving_up.catch_unwind().await.unwrap_or_else(|_| Err(broken_off()))
            } else {
                Ok(Change::new(ticket.merchant, now))
            };
            let aftermath = match aftermath {
                Ok(aftermath) => aftermath,
                // The lease runs out and another attempt follows.
                Err(problem) if problem.code.retryable() => return "lost",
                Err(refusal) => {
                    tracing::error!(%refusal, "given up, and nobody could be told");
                    Change::new(ticket.merchant, now)
                }
            };
            let change = aftermath.traced(ticket.trace.clone()).held(next, &leased.fence);
            match self.leases.settle(change, &leased.receipt).await {
                Ok(()) if dead => return "dead",
                Ok(()) => return "retried",
                Err(CommitError::Stale { .. }) => {}
                Err(error) => {
                    // The lease runs out and another attempt follows.
                    tracing::warn!(%error, "failure could not be recorded");
                    return "lost";
                }
            }
        }
        "lost"
    }
}

/// What a handler's panic is to those who look at its ticket.
fn broken_off() -> Problem {
    tracing::error!("handler panicked");
    Problem::new(
        Code::Internal,
        "the work broke off by a fault of the program",
        "report this with the ticket's id; it is tried again a few times",
    )
}
