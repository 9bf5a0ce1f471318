//! A worker's record: what it reports of itself, and how it acts on what operators want of it.

use crate::HEARTBEAT;
use crate::handler::{Failure, Handler, Work};
use crate::slots::Slots;
use async_trait::async_trait;
use printmill_backend::database::Scope;
use printmill_backend::{BackendError, Change, Clock, CommitError, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::{MerchantId, TicketId, WorkerId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use printmill_domain::worker::{HEED, Running, Worker, WorkerLane};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a worker without work waits before it reports again.
const IDLE: Duration = Duration::from_secs(60);
/// How often a report is decided again because the record changed before its commit.
const DECISIONS_MAX: u32 = 16;

/// How a worker presents itself to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its id, new with each start.
    pub id: WorkerId,
    /// The machine's name.
    pub host: String,
    /// The process's number.
    pub pid: u32,
    /// The version of Printmill.
    pub version: String,
}

/// What a worker works on now.
#[derive(Default)]
pub(crate) struct InWork {
    running: Mutex<BTreeMap<TicketId, Running>>,
    begun: Notify,
}

impl InWork {
    /// A ticket is in work until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>, ticket: &Ticket, since: Timestamp) -> Active {
        if ticket.kind != HEED {
            let Ticket { id, kind, lane, .. } = ticket.clone();
            let running = Running { since, ticket: id, kind, lane };
            self.locked().insert(id, running);
            self.begun.notify_one();
        }
        Active { in_work: self.clone(), ticket: ticket.id }
    }

    fn running(&self) -> Vec<Running> {
        self.locked().values().cloned().collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<TicketId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket in work.
pub(crate) struct Active {
    in_work: Arc<InWork>,
    ticket: TicketId,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.in_work.locked().remove(&self.ticket);
    }
}

/// Keeps a worker's record, and acts on it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) introduction: Introduction,
    pub(crate) lanes: Vec<WorkerLane>,
    pub(crate) slots: BTreeMap<Lane, Arc<Slots>>,
    pub(crate) in_work: Arc<InWork>,
    /// The newest revision that it has acted on.
    pub(crate) acted: Arc<Mutex<u64>>,
}

impl Control {
    /// The lane in which commands reach it.
    pub(crate) fn own_lane(&self) -> Lane {
        Lane::worker(&self.introduction.id)
    }

    /// Reports, and acts on what is wanted, until it is stopped: with each heartbeat while there is
    /// work, else once a minute. The record then says that the worker has left.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut idle = false;
        loop {
            match self.look().await {
                Ok(seen) => idle = seen,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "worker's record was not kept");
                }
            }
            let next = async {
                let begun = self.in_work.begun.notified();
                if idle && tokio::time::timeout(IDLE, begun).await.is_err() {
                    return;
                }
                // Work that is over before the next look costs no report.
                tokio::time::sleep(HEARTBEAT).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = next => {}
            }
        }
        self.leave().await;
    }

    /// Reads the record, acts on it, and reports if it is time; whether there is nothing to say
    /// for a while.
    async fn look(&self) -> Result<bool, BackendError> {
        for _ in 0..DECISIONS_MAX {
            let (now, running) = (self.clock.now(), self.in_work.running());
            let idle = running.is_empty();
            let change = Change::new(MerchantId::PLATFORM, now);
            let change = match self.find().await? {
                None => change.create(Decided::quiet(self.first(running, now))),
                Some(found) => {
                    self.act_on(&found);
                    if !found.report_is_due(&running, now) {
                        return Ok(found.is_idle(&running));
                    }
                    let reported = found.report(running, now);
                    change.update(&found, Decided::quiet(reported))
                }
            };
            match self.database.commit(change).await {
                Ok(()) => return Ok(idle && self.in_work.locked().is_empty()),
                Err(CommitError::Backend(error)) => return Err(error),
                // Somebody wants something else of it.
                Err(_) => {}
            }
        }
        Ok(false)
    }

    async fn find(&self) -> Result<Option<Versioned<Worker>>, BackendError> {
        let id = self.introduction.id.to_string();
        self.database.find(Scope::Merchant(MerchantId::PLATFORM), &id).await
    }

    fn first(&self, running: Vec<Running>, now: Timestamp) -> Worker {
        let Introduction { id, host, pid, version } = self.introduction.clone();
        let lanes = self.lanes.clone();
        Worker::begin(id, host, pid, version, lanes, now).report(running, now)
    }

    /// Does as is wanted. A command's ticket and a look may read the record at the same time: what
    /// comes late and is older is not what is wanted any more.
    fn act_on(&self, wanted: &Worker) {
        let mut acted = self.acted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.revision < *acted {
            return;
        }
        *acted = wanted.revision;
        for (lane, slots) in &self.slots {
            if let Some(limit) = wanted.limit(lane) {
                slots.limit(usize::from(limit));
            }
        }
    }

    async fn leave(&self) {
        for _ in 0..DECISIONS_MAX {
            let Ok(Some(found)) = self.find().await else { return };
            let now = self.clock.now();
            let change = Change::new(MerchantId::PLATFORM, now);
            let change = change.update(&found, Decided::quiet(found.leave(now)));
            // If the database fails, the worker is seen to be silent.
            if !matches!(self.database.commit(change).await, Err(CommitError::Stale { .. })) {
                return;
            }
        }
    }
}

/// Acts on what is wanted as soon as a command's ticket comes, and reports that.
pub(crate) struct Heed(pub(crate) Control);

#[async_trait]
impl Handler for Heed {
    fn kind(&self) -> &'static str {
        HEED
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let _ = performed;
        let change = Change::new(work.ticket.merchant, now);
        let Some(found) = self.0.find().await? else { return Ok(change) };
        self.0.act_on(&found);
        let reported = found.report(self.0.in_work.running(), now);
        Ok(change.update(&found, Decided::quiet(reported)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use printmill_adapter_memory::MemoryDatabase;
    use printmill_backend::SystemClock;
    use printmill_domain::ids::Id;
    use printmill_domain::worker::Steering;
    use uuid::Uuid;

    #[test]
    fn what_was_read_late_does_not_take_back_what_is_wanted_now() {
        let lane = Lane::express();
        let slots = Slots::new(2);
        let control = Control {
            database: Arc::new(MemoryDatabase::new()),
            clock: Arc::new(SystemClock),
            introduction: Introduction {
                id: WorkerId::from_uuid(Uuid::from_u128(1)),
                host: "host".into(),
                pid: 1,
                version: "0".into(),
            },
            lanes: vec![WorkerLane::new(lane.clone(), 2)],
            slots: BTreeMap::from([(lane, slots.clone())]),
            in_work: Arc::default(),
            acted: Arc::default(),
        };
        let now = control.clock.now();
        let before = control.first(vec![], now);
        let drain = Steering { draining: Some(true), lanes: vec![] };
        let drained = before.steer(&drain, now).unwrap().state;
        control.act_on(&before);
        assert_eq!(slots.take(9).now_or_never().map(|taken| taken.len()), Some(2));
        control.act_on(&drained);
        control.act_on(&before);
        assert!(slots.take(1).now_or_never().is_none(), "it is drained");
        let resume = Steering { draining: Some(false), lanes: vec![] };
        control.act_on(&drained.steer(&resume, now).unwrap().state);
        assert!(slots.take(1).now_or_never().is_some(), "and goes on");
    }
}
