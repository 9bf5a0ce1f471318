//! The one task that works on a queue's table: it settles, sends and claims in batches, and keeps
//! those who wait for a message until there is one.

use super::queue_batch::{Batch, refuse};
use super::queue_session::{Done, QueueSession, Work};
use super::writer::Signals;
use crate::error;
use crate::sqlite::claim::Hold;
use crate::sqlite::queue_worker::{Lease, Operation};
use printmill_backend::BackendError;
use printmill_backend::Fault;
use printmill_backend::queue::QueueStats;
use sea_orm::sqlx;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout};

const OPERATION: &str = "work on the queue";
/// Operations that one transaction takes at most.
const BATCH_MAX: usize = 256;
/// How often a waiting lease looks for what other processes sent, where nobody tells: while
/// something is sent or settled, and when nothing was for `QUIET`.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);
/// How long a transaction and a connection may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How often a transaction that others undid is made again.
const REPEATS: usize = 6;

/// Somebody who wants a lane counted.
type Counting = (String, oneshot::Sender<Result<QueueStats, BackendError>>);

/// The task.
pub(crate) struct QueueTask<S: QueueSession> {
    target: S::Target,
    session: Option<S>,
    operations: mpsc::Receiver<Operation>,
    waiting: Vec<Lease>,
    /// When the next message of a lane with somebody waiting becomes due.
    due: HashMap<String, Instant>,
    /// What was claimed for somebody who had gone.
    orphans: Vec<Hold>,
    signals: Signals,
    told: watch::Receiver<u64>,
    /// Whether others tell of what they send, so that looking is only in case they fail to.
    others_tell: bool,
    looked: Instant,
    /// When something was last sent or settled, here or in another process.
    moved: Instant,
}

impl<S: QueueSession> QueueTask<S> {
    pub(crate) fn new(
        target: S::Target,
        session: S,
        operations: mpsc::Receiver<Operation>,
        signals: Signals,
        others_tell: bool,
    ) -> Self {
        Self {
            target,
            session: Some(session),
            operations,
            waiting: vec![],
            due: HashMap::new(),
            orphans: vec![],
            told: signals.counter.subscribe(),
            signals,
            others_tell,
            looked: Instant::now(),
            moved: Instant::now(),
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(crate) async fn run(mut self) {
        let mut arrived = Vec::with_capacity(BATCH_MAX);
        loop {
            let wake = self.next_wake();
            let mut told = false;
            tokio::select! {
                biased;
                count = self.operations.recv_many(&mut arrived, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                changed = self.told.changed(), if wake.is_some() => told = changed.is_ok(),
                () = async {
                    match wake {
                        Some(wake) => sleep_until(wake).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
            self.turn(std::mem::take(&mut arrived), told).await;
        }
    }

    /// When to look again although nobody asked: only while somebody waits.
    fn next_wake(&self) -> Option<Instant> {
        if !self.orphans.is_empty() {
            return Some(Instant::now());
        }
        let deadline = self.waiting.iter().map(|lease| lease.deadline).min()?;
        let look = self.looked + self.look_interval();
        let due = self.due.values().min().copied();
        Some(due.map_or(look, |due| due.min(look)).min(deadline))
    }

    fn look_interval(&self) -> Duration {
        if !self.others_tell && self.moved.elapsed() < QUIET { LOOK } else { LOOK_QUIET }
    }

    async fn turn(&mut self, arrived: Vec<Operation>, told: bool) {
        let mut lanes = self.lanes_that_moved(told);
        let (mut batch, counting) = self.sort(arrived, &mut lanes);
        self.waiting.retain(|lease| !lease.answer.is_closed());
        let (ready, waiting) =
            self.waiting.drain(..).partition(|lease: &Lease| lanes.contains(&lease.lane));
        self.waiting = waiting;
        batch.leases = ready;
        if !batch.is_empty() {
            let (work, groups) = batch.work();
            match self.transaction(&work).await {
                Ok(done) => {
                    self.done(&work, &done);
                    self.orphans = batch.answer(done, &groups, &mut self.waiting);
                }
                Err(error) => refuse(batch, &error),
            }
        }
        self.expire();
        for (lane, answer) in counting {
            let _ = answer.send(self.count(&lane).await);
        }
    }

    /// Lanes in which there may be something for those who wait: messages became due, or another
    /// process sent some.
    fn lanes_that_moved(&mut self, told: bool) -> BTreeSet<String> {
        let now = Instant::now();
        let due = self.due.iter().filter(|(_, due)| **due <= now);
        let mut lanes: BTreeSet<String> = due.map(|(lane, _)| lane.clone()).collect();
        if told || self.looked + self.look_interval() <= now {
            self.looked = now;
            lanes.extend(self.waiting.iter().map(|lease| lease.lane.clone()));
        }
        lanes
    }

    fn sort(
        &mut self,
        arrived: Vec<Operation>,
        lanes: &mut BTreeSet<String>,
    ) -> (Batch, Vec<Counting>) {
        let (mut batch, mut counting) = (Batch::default(), Vec::new());
        for hold in self.orphans.drain(..) {
            batch.releases.push((hold, Duration::ZERO, None));
            lanes.extend(self.waiting.iter().map(|lease| lease.lane.clone()));
        }
        for operation in arrived {
            match operation {
                Operation::Send { lane, rows, answer } => {
                    lanes.insert(lane);
                    batch.sends.push((rows, answer));
                }
                Operation::Lease(lease) => {
                    lanes.insert(lease.lane.clone());
                    self.waiting.push(lease);
                }
                Operation::Extend { hold, ttl, answer } => batch.extends.push((hold, ttl, answer)),
                Operation::Ack { hold, answer } => batch.acks.push((hold, answer)),
                Operation::Release { lane, hold, delay, answer } => {
                    lanes.insert(lane);
                    batch.releases.push((hold, delay, Some(answer)));
                }
                Operation::Stats { lane, answer } => counting.push((lane, answer)),
            }
        }
        (batch, counting)
    }

    /// Notes when to look next, and tells others that there is something to lease.
    fn done(&mut self, work: &Work, done: &Done) {
        let now = Instant::now();
        if work.writes() || done.claimed.iter().any(|claimed| !claimed.is_empty()) {
            self.moved = now;
        }
        if work.sent.is_some() || work.released.is_some() {
            self.signals.local.notify_one();
        }
        for lane in &work.look_ahead {
            self.due.remove(lane);
        }
        for (lane, micros) in &done.due {
            let micros = u64::try_from(*micros).unwrap_or_default();
            // Others' clocks and ours may drift: far ahead it need not be exact.
            let ahead = Duration::from_micros(micros.clamp(1_000, 3_600_000_000));
            self.due.insert(lane.clone(), now + ahead);
        }
        let waited_for: BTreeSet<&str> =
            self.waiting.iter().map(|lease| lease.lane.as_str()).collect();
        let looked_at: BTreeSet<&str> = work.look_ahead.iter().map(String::as_str).collect();
        self.due.retain(|lane, _| {
            waited_for.contains(lane.as_str()) || looked_at.contains(lane.as_str())
        });
    }

    /// Lets those go whose time is over.
    fn expire(&mut self) {
        let now = Instant::now();
        let (over, waiting) =
            self.waiting.drain(..).partition(|lease: &Lease| lease.deadline <= now);
        self.waiting = waiting;
        for lease in over {
            let _ = lease.answer.send(Ok(vec![]));
        }
    }

    async fn transaction(&mut self, work: &Work) -> Result<Done, BackendError> {
        match self.repeated(Job::Work(work)).await? {
            Outcome::Done(done) => Ok(done),
            Outcome::Counted(_) => Err(no_answer::<S>()),
        }
    }

    async fn count(&mut self, lane: &str) -> Result<QueueStats, BackendError> {
        match self.repeated(Job::Count(lane)).await? {
            Outcome::Counted(stats) => Ok(stats),
            Outcome::Done(_) => Err(no_answer::<S>()),
        }
    }

    /// Does something with the connection, again if another transaction was in the way or the
    /// table was gone: a queue that was wiped starts empty.
    async fn repeated(&mut self, job: Job<'_>) -> Result<Outcome, BackendError> {
        let failed = |error| error::driver_of(S::DIALECT, OPERATION, error);
        let mut last = None;
        for _ in 0..REPEATS {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => within_limit::<S, _>(S::connect(&self.target)).await??,
            };
            match within_limit::<S, _>(attempt(&mut session, job)).await? {
                Ok(outcome) => {
                    self.session = Some(session);
                    return Ok(outcome);
                }
                Err(error) if S::is_busy(&error) => last = Some(error),
                Err(error) if S::is_missing(&error) => {
                    tracing::warn!("the queue's table was lost; the queue starts empty");
                    session.make_table().await.map_err(failed)?;
                    last = Some(error);
                }
                Err(error) => return Err(failed(error)),
            }
            self.session = Some(session);
        }
        Err(last.map_or_else(no_answer::<S>, failed))
    }
}

/// Something to do with the connection.
#[derive(Clone, Copy)]
enum Job<'a> {
    Work(&'a Work),
    Count(&'a str),
}

/// What came of it.
enum Outcome {
    Done(Done),
    Counted(QueueStats),
}

async fn attempt<S: QueueSession>(session: &mut S, job: Job<'_>) -> sqlx::Result<Outcome> {
    match job {
        Job::Work(work) => {
            let done = session.work(work).await;
            if done.is_err() {
                // A connection that is lost has nothing to undo.
                let _ = session.rollback().await;
            }
            done.map(Outcome::Done)
        }
        Job::Count(lane) => session.count(lane).await.map(Outcome::Counted),
    }
}

async fn within_limit<S: QueueSession, T>(
    work: impl Future<Output = T>,
) -> Result<T, BackendError> {
    timeout(LIMIT, work).await.map_err(|_| no_answer::<S>())
}

fn no_answer<S: QueueSession>() -> BackendError {
    let detail = "the server does not answer";
    BackendError::new(Fault::Unavailable, S::DIALECT.name(), OPERATION, detail)
}
