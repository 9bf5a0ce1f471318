//! Watching the event log: what is there, what comes, and signs of life in between.
//!
//! A watch reads the log by its own cursor, a batch at a time, and only as fast as its client
//! takes what was read: one that is slow holds a batch and nothing else, and slows nobody.

use super::Edge;
use super::watch::leaving;
use crate::convert::events::{event, seq};
use crate::errors;
use futures::StreamExt;
use futures::stream::BoxStream;
use printmill_backend::Database;
use printmill_backend::database::EventQuery;
use printmill_domain::event::Event;
use printmill_domain::problem::Problem;
use printmill_engine::subscription::expired;
use printmill_proto::v1;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// After a commit, how long to wait for more of them before reading.
const GATHER: Duration = Duration::from_millis(20);
/// How many events are read at once.
const BATCH: u32 = 100;

/// The stream that `Watch` answers.
pub(crate) type Watching = BoxStream<'static, Result<v1::WatchEventsResponse, Status>>;

/// Events that meet a query, from its place on.
pub(super) fn watch(edge: &Edge, query: EventQuery, place: OwnedSemaphorePermit) -> Watching {
    let watch = Watch {
        database: edge.services.database.clone(),
        commits: edge.services.database.commits(),
        query: EventQuery { limit: BATCH, ..query },
        stopping: edge.stopping.clone(),
        heartbeat: edge.heartbeat,
        // The first message says at once where the watch begins.
        beat_at: Instant::now(),
        pending: VecDeque::new(),
        over: false,
        _place: place,
    };
    futures::stream::unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        let next = next.map_err(|problem| {
            watch.over = true;
            errors::status(&problem)
        });
        watch.beat_at = Instant::now() + watch.heartbeat;
        Some((next, watch))
    })
    .boxed()
}

struct Watch {
    database: Arc<dyn Database>,
    commits: watch::Receiver<u64>,
    /// What is wanted; `after` is how far it has read.
    query: EventQuery,
    stopping: CancellationToken,
    heartbeat: Duration,
    /// When the next sign of life is due.
    beat_at: Instant,
    pending: VecDeque<Event>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<v1::WatchEventsResponse, Problem>> {
        if self.over {
            return None;
        }
        loop {
            if self.stopping.is_cancelled() {
                return Some(Err(leaving()));
            }
            if let Some(found) = self.pending.pop_front() {
                let seq = seq(found.seq);
                return Some(Ok(v1::WatchEventsResponse { seq, event: Some(event(found)) }));
            }
            if self.beat_at <= Instant::now() {
                let seq = seq(self.query.after);
                return Some(Ok(v1::WatchEventsResponse { seq, event: None }));
            }
            // Marked before reading, so that a commit in between is not slept through.
            self.commits.borrow_and_update();
            match self.read().await {
                Err(problem) => return Some(Err(problem)),
                Ok(true) => {}
                Ok(false) => self.wait().await,
            }
        }
    }

    /// Reads the next batch; whether the log had grown.
    async fn read(&mut self) -> Result<bool, Problem> {
        let head = self.database.head().await?;
        if head <= self.query.after {
            return Ok(false);
        }
        // A client may be so slow that events go while it reads.
        let oldest = self.database.oldest().await?;
        if self.query.after + 1 < oldest {
            return Err(expired(self.query.after, oldest));
        }
        let query = EventQuery { until: Some(head), ..self.query.clone() };
        let events = self.database.events(query).await?;
        self.query.after = match events.last() {
            Some(last) if events.len() >= BATCH as usize => last.seq,
            _ => head,
        };
        self.pending.extend(events);
        Ok(true)
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
