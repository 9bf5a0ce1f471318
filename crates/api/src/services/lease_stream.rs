//! `StreamWork`: tickets as they come, never more at once than their worker can hold.
//!
//! It leases only while its client takes what it sends. What was leased and is not sent yet is
//! released at once when the stream breaks or the node leaves, and when the client does not read.

use super::Edge;
use super::leasing::{HandedOut, LeaseOrder, Wanted};
use super::watch::leaving;
use crate::auth::{Caller, still_good};
use crate::errors;
use futures::StreamExt;
use futures::stream::BoxStream;
use printmill_domain::ids::TicketId;
use printmill_domain::problem::Problem;
use printmill_domain::ticket::Fence;
use printmill_engine::HEARTBEAT;
use printmill_proto::v1;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// The most tickets that a worker may hold at once.
const CONCURRENCY_MAX: u32 = 256;
/// The most tickets that are leased at once.
const PART_MAX: usize = 32;
/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// A ticket that its client does not take for so long is released.
const PATIENCE: Duration = HEARTBEAT;
/// After a commit, how long to wait for more of them before reading.
const GATHER: Duration = Duration::from_millis(20);

/// The stream that `StreamWork` answers.
pub(crate) type Delivering = BoxStream<'static, Result<v1::StreamWorkResponse, Status>>;

/// Checks a request, and opens the stream.
pub(super) async fn open(
    edge: &Edge,
    caller: &Caller,
    request: &v1::StreamWorkRequest,
) -> Result<Delivering, Problem> {
    let wanted = Wanted {
        lane: &request.lane,
        kinds: &request.kinds,
        holder: &request.holder,
        worker_id: &request.worker_id,
    };
    let order = LeaseOrder::read(caller, &wanted)?;
    edge.check_open(&order.kinds)?;
    let most = Some(request.concurrency).filter(|most| (1..=CONCURRENCY_MAX).contains(most));
    let most = most.ok_or_else(|| {
        Problem::invalid_field("concurrency", format!("must be 1 to {CONCURRENCY_MAX}"))
    })?;
    let tokens = &request.held_lease_tokens;
    if tokens.len() > CONCURRENCY_MAX as usize {
        let description = format!("must be {CONCURRENCY_MAX} at most");
        return Err(Problem::invalid_field("held_lease_tokens", description));
    }
    let mut held = vec![];
    for token in tokens {
        let token = edge.token(caller, token)?;
        if *token.lane() == order.lane {
            held.push(token.fence);
        }
    }
    edge.worker(&order).await?;
    let place = edge.streams.clone().try_acquire_owned().map_err(|_| errors::busy())?;
    let pending = Arc::new(Pending::default());
    let stream = LeaseStream {
        edge: edge.clone(),
        order,
        most: most as usize,
        held,
        commits: edge.services.database.commits(),
        // The first sign of life says at once that the stream is open.
        beat_at: Instant::now(),
        look_in: LOOK,
        _keeper: AbortOnDropHandle::new(tokio::spawn(keep(pending.clone(), edge.stopping.clone()))),
        pending,
        over: false,
        _place: place,
    };
    let messages = futures::stream::unfold(stream, |mut stream| async move {
        let next = stream.next().await?;
        let next = next.map_err(|problem| {
            stream.over = true;
            errors::status(&problem)
        });
        stream.beat_at = Instant::now() + stream.edge.heartbeat;
        Some((next, stream))
    });
    Ok(messages.boxed())
}

/// Tickets that were leased, and are not sent yet.
#[derive(Default)]
struct Pending {
    line: Mutex<VecDeque<HandedOut>>,
    added: Notify,
}

impl Pending {
    fn add(&self, obtained: Vec<HandedOut>) {
        if !obtained.is_empty() {
            self.locked().extend(obtained);
            self.added.notify_one();
        }
    }

    fn take(&self) -> Option<HandedOut> {
        self.locked().pop_front()
    }

    /// Releases those that have waited for so long.
    fn release(&self, waited: Duration) {
        let late: Vec<_> = {
            let mut line = self.locked();
            let late = line.partition_point(|one| one.since().elapsed() >= waited);
            line.drain(..late).collect()
        };
        drop(late);
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<HandedOut>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases what a client does not read, and everything when the node leaves.
async fn keep(pending: Arc<Pending>, stopping: CancellationToken) {
    let keeping = async {
        loop {
            pending.added.notified().await;
            tokio::time::sleep(PATIENCE).await;
            pending.release(PATIENCE);
        }
    };
    tokio::select! {
        () = keeping => {}
        () = stopping.cancelled() => pending.release(Duration::ZERO),
    }
}

struct LeaseStream {
    edge: Edge,
    order: LeaseOrder,
    /// How many tickets the worker can hold at once.
    most: usize,
    /// Those that were sent, and may be held still.
    held: Vec<Fence>,
    commits: watch::Receiver<u64>,
    /// When the next sign of life is due.
    beat_at: Instant,
    /// When a lease ends that the worker holds, but not later than the next look.
    look_in: Duration,
    pending: Arc<Pending>,
    _keeper: AbortOnDropHandle<()>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl LeaseStream {
    async fn next(&mut self) -> Option<Result<v1::StreamWorkResponse, Problem>> {
        if self.over {
            return None;
        }
        loop {
            if self.edge.stopping.is_cancelled() {
                self.pending.release(Duration::ZERO);
                return Some(Err(leaving()));
            }
            if let Some(one) = self.pending.take() {
                let (lease, leased) = one.deliver();
                self.held.extend(leased.map(|leased| leased.fence));
                return Some(Ok(v1::StreamWorkResponse { lease: Some(lease) }));
            }
            if self.beat_at <= Instant::now() {
                let good = still_good(&*self.edge.services.database, self.order.key).await;
                return Some(good.map(|()| v1::StreamWorkResponse { lease: None }));
            }
            // Marked before reading, so that a commit in between is not slept through.
            self.commits.borrow_and_update();
            match self.free().await {
                Err(problem) => return Some(Err(problem)),
                Ok(0) => self.wait().await,
                Ok(free) => match self.take(free).await {
                    Ok(()) => {}
                    Err(problem) => return Some(Err(problem)),
                },
            }
        }
    }

    /// How many more tickets the worker may get now.
    async fn free(&mut self) -> Result<usize, Problem> {
        let worker = self.edge.worker(&self.order).await?;
        let limit = worker.and_then(|worker| worker.limit(&self.order.lane));
        self.look_in = LOOK;
        let most = limit.map_or(self.most, |limit| self.most.min(limit.into()));
        if most > 0 && self.held.len() >= most {
            self.forget_ended().await?;
        }
        Ok(most.saturating_sub(self.held.len()))
    }

    /// Leaves out what is not held any more: ended, lost, or given to another.
    async fn forget_ended(&mut self) -> Result<(), Problem> {
        let ids: Vec<TicketId> = self.held.iter().map(|fence| fence.ticket).collect();
        let found = self.edge.services.database.tickets(&ids).await?;
        let now = self.edge.services.clock.now();
        let ends = found.iter().filter_map(|ticket| (ticket.lease_until? - now).to_std().ok());
        self.look_in = ends.min().unwrap_or(LOOK).min(LOOK);
        let found: HashMap<_, _> = found.into_iter().map(|ticket| (ticket.id, ticket)).collect();
        self.held.retain(|fence| {
            let ticket = found.get(&fence.ticket);
            ticket.is_some_and(|ticket| ticket.check(fence).is_ok() && !ticket.claimable(now))
        });
        Ok(())
    }

    /// Leases up to so many, waiting for the first until the next sign of life.
    async fn take(&mut self, free: usize) -> Result<(), Problem> {
        let count = u16::try_from(free.min(PART_MAX)).unwrap_or(1);
        let wait = self.beat_at.saturating_duration_since(Instant::now());
        let obtained = tokio::select! {
            obtained = self.edge.obtain(&self.order, count, wait) => obtained?,
            () = self.edge.stopping.cancelled() => return Ok(()),
        };
        self.pending.add(obtained);
        Ok(())
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.commits.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(self.look_in) => {}
            () = tokio::time::sleep_until(self.beat_at) => {}
            () = self.edge.stopping.cancelled() => {}
        }
    }
}
