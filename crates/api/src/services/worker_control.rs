//! `ControlWork` and `ReportWork`: workers outside announce themselves, hear what is wanted of them,
//! and say what they do.
//!
//! What is wanted is in the worker's record, as of Printmill's own workers. The stream reads it
//! and says what is new; it keeps nothing that matters, so any node can go on with it.

use super::Edge;
use super::leasing::{chosen, lane, text};
use super::watch::leaving;
use crate::auth::{Caller, still_good};
use crate::convert::{self, work};
use crate::errors;
use futures::StreamExt;
use futures::stream::BoxStream;
use printmill_domain::ids::{Id, KeyId, TicketId, WorkerId};
use printmill_domain::problem::Problem;
use printmill_domain::ticket::Ticket;
use printmill_domain::worker::{Announcement, CONCURRENCY_MAX, Worker, WorkerLane};
use printmill_engine::outside::{OutsideWorkers, Report};
use printmill_proto::v1;
use printmill_proto::v1::control_work_response::Command;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The most lanes that a worker serves.
const LANES_MAX: usize = 16;
/// The most tickets in a report.
const TICKETS_MAX: usize = 256;
/// The most characters of a name and a version.
const NAME_MAX: usize = 100;
/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// Between two looks at least, however much is committed.
const GATHER: Duration = Duration::from_millis(100);
/// After a worker was asked for a report, how long to wait before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The stream that `ControlWork` answers.
pub(crate) type Controlling = BoxStream<'static, Result<v1::ControlWorkResponse, Status>>;

/// Takes an announcement, and opens the stream.
pub(super) async fn open(
    edge: &Edge,
    caller: &Caller,
    request: &v1::ControlWorkRequest,
) -> Result<Controlling, Problem> {
    let (said, tickets) = (announcement(edge, caller, request)?, tickets(&request.ticket_ids)?);
    let known = match request.worker_id.as_str() {
        "" => None,
        id => Some(convert::id::<WorkerId>("worker_id", id)?),
    };
    let place = edge.streams.clone().try_acquire_owned().map_err(|_| errors::busy())?;
    let workers = edge.outside_workers();
    let mut worker = workers.announce(caller.key, known, &said).await?;
    if !tickets.is_empty() {
        let report = Report { revision: 0, tickets, leaving: false };
        worker = workers.report(caller.key, worker.id, &report).await?;
    }
    let control = Control {
        id: worker.id,
        key: caller.key,
        workers,
        commits: edge.services.database.commits(),
        edge: edge.clone(),
        stopping: edge.stopping.clone(),
        told: None,
        cancelled: BTreeSet::new(),
        ask_at: Instant::now(),
        beat_at: Instant::now() + edge.heartbeat,
        over: false,
        _place: place,
    };
    let messages = futures::stream::unfold(control, |mut control| async move {
        let next = control.next().await?;
        let next = next.map_err(|problem| {
            control.over = true;
            errors::status(&problem)
        });
        control.beat_at = Instant::now() + control.edge.heartbeat;
        Some((next, control))
    });
    Ok(messages.boxed())
}

/// Takes a report.
pub(super) async fn report(
    edge: &Edge,
    caller: &Caller,
    request: &v1::ReportWorkRequest,
) -> Result<v1::ReportWorkResponse, Problem> {
    let id = convert::id::<WorkerId>("worker_id", &request.worker_id)?;
    let revision = u64::try_from(request.revision)
        .map_err(|_| Problem::invalid_field("revision", "must be that of the orders"))?;
    let tickets = tickets(&request.ticket_ids)?;
    let report = Report { revision, tickets, leaving: request.leaving };
    let worker = edge.outside_workers().report(caller.key, id, &report).await?;
    Ok(v1::ReportWorkResponse { orders: Some(work::orders(&worker)) })
}

/// What is wanted of the announced worker that holds a ticket. A heartbeat does not fail for it.
pub(super) async fn orders_of(
    edge: &Edge,
    key: KeyId,
    ticket: &Ticket,
) -> Option<v1::WorkerOrders> {
    let holder = ticket.holder.as_deref().and_then(|holder| WorkerId::parse(holder).ok())?;
    let found = edge.outside_workers().find(key, holder).await.ok()?;
    Some(work::orders(&found))
}

fn tickets(ids: &[String]) -> Result<Vec<TicketId>, Problem> {
    if ids.len() > TICKETS_MAX {
        let description = format!("must be {TICKETS_MAX} at most");
        return Err(Problem::invalid_field("ticket_ids", description));
    }
    ids.iter().map(|id| convert::id("ticket_ids", id)).collect()
}

fn announcement(
    edge: &Edge,
    caller: &Caller,
    request: &v1::ControlWorkRequest,
) -> Result<Announcement, Problem> {
    let name = text("name", &request.name, NAME_MAX)?;
    if name.is_empty() {
        return Err(Problem::invalid_field("name", "must not be empty"));
    }
    let version = text("version", &request.version, NAME_MAX)?;
    if !(1..=LANES_MAX).contains(&request.lanes.len()) {
        return Err(Problem::invalid_field("lanes", format!("must be 1 to {LANES_MAX}")));
    }
    let (mut lanes, mut kinds): (Vec<WorkerLane>, Vec<String>) = (vec![], vec![]);
    for offered in &request.lanes {
        let (served, own, _) = lane(caller, &offered.lane)?;
        if lanes.iter().any(|known| known.lane == served) {
            return Err(Problem::invalid_field("lanes", "must name each lane once"));
        }
        let most = u16::try_from(offered.concurrency).ok();
        let most = most.filter(|most| (1..=CONCURRENCY_MAX).contains(most)).ok_or_else(|| {
            let description = format!("must be 1 to {CONCURRENCY_MAX}");
            Problem::invalid_field("lanes.concurrency", description)
        })?;
        kinds = own;
        lanes.push(WorkerLane::new(served, most));
    }
    let kinds = chosen(kinds, &request.kinds)?;
    edge.check_open(&kinds)?;
    Ok(Announcement { name: name.to_owned(), version: version.to_owned(), lanes, kinds })
}

struct Control {
    id: WorkerId,
    key: KeyId,
    workers: OutsideWorkers,
    commits: watch::Receiver<u64>,
    edge: Edge,
    stopping: CancellationToken,
    /// The revision that it was told of.
    told: Option<u64>,
    /// Tickets that it was told to stop.
    cancelled: BTreeSet<TicketId>,
    /// When it may be asked for a report.
    ask_at: Instant,
    /// When the next sign of life is due.
    beat_at: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Control {
    async fn next(&mut self) -> Option<Result<v1::ControlWorkResponse, Problem>> {
        if self.over {
            return None;
        }
        let worker_id = self.id.to_string();
        loop {
            if self.stopping.is_cancelled() {
                return Some(Err(leaving()));
            }
            // Marked before reading, so that a commit in between is not slept through.
            self.commits.borrow_and_update();
            match self.command().await {
                Err(problem) => return Some(Err(problem)),
                Ok(Some(command)) => {
                    let command = Some(command);
                    return Some(Ok(v1::ControlWorkResponse { worker_id, command }));
                }
                Ok(None) => {}
            }
            if self.beat_at <= Instant::now() {
                let good = still_good(&*self.edge.services.database, self.key).await;
                return Some(good.map(|()| v1::ControlWorkResponse { worker_id, command: None }));
            }
            self.wait().await;
        }
    }

    /// What the worker does not know yet.
    async fn command(&mut self) -> Result<Option<Command>, Problem> {
        let worker = self.workers.find(self.key, self.id).await?;
        if self.told != Some(worker.revision) {
            if self.told.replace(worker.revision).is_some() {
                // It reports that it acts on this.
                self.ask_at = Instant::now() + ASK_AGAIN;
            }
            return Ok(Some(Command::Orders(work::orders(&worker))));
        }
        if let Some(cancel) = self.cancel(&worker).await? {
            return Ok(Some(Command::Cancel(cancel)));
        }
        let due = worker.report_is_due(&worker.running, self.edge.services.clock.now());
        if due && self.ask_at <= Instant::now() {
            self.ask_at = Instant::now() + ASK_AGAIN;
            return Ok(Some(Command::Report(v1::ReportRequested {})));
        }
        Ok(None)
    }

    /// A ticket that it holds and is to stop, if it was not told so before.
    async fn cancel(&mut self, worker: &Worker) -> Result<Option<v1::CancelledTicket>, Problem> {
        self.cancelled.retain(|id| worker.running.iter().any(|running| running.ticket == *id));
        let unwanted = self.workers.unwanted(worker).await?;
        let new = unwanted.into_iter().find(|(id, _)| !self.cancelled.contains(id));
        Ok(new.map(|(id, why)| {
            self.cancelled.insert(id);
            v1::CancelledTicket { ticket_id: id.to_string(), reason: why.message }
        }))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.commits.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(LOOK) => {}
            () = tokio::time::sleep_until(self.beat_at) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}
