//! The one task that works on a queue's file: it settles, sends and claims in batches, and keeps
//! those who wait for a message until there is one.

use super::claim::{Claimed, Claims, Hold, Wanted, Work};
use super::json_array::JsonArray;
use super::log_watch::LogWatch;
use super::queue_file::QueueFile;
use super::schema::{DELAYED, READY};
use crate::error;
use chrono::Utc;
use printmill_backend::queue::{QueueStats, SettleError};
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx;
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep_until};

/// Operations that one transaction takes at most.
const BATCH_MAX: usize = 256;
/// How often a waiting lease looks for what other processes sent: while something is sent or
/// settled, and when nothing was for `QUIET` and nobody tells of the next write.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);
/// From so many due messages that are not marked as ready, counting marks some.
const OVERDUE_MAX: u64 = 1000;

type Settled = oneshot::Sender<Result<(), SettleError>>;

/// What the queue's callers want done.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Rows `[lane, ticket, state, visible_at, trace]`, joined by commas.
    Send {
        lane: String,
        rows: String,
        answer: oneshot::Sender<Result<(), BackendError>>,
    },
    Lease(Lease),
    Extend {
        hold: Hold,
        ttl: Duration,
        answer: Settled,
    },
    Ack {
        hold: Hold,
        answer: Settled,
    },
    Release {
        lane: String,
        hold: Hold,
        delay: Duration,
        answer: Settled,
    },
    Stats {
        lane: String,
        answer: oneshot::Sender<Result<QueueStats, BackendError>>,
    },
}

/// Somebody who wants messages.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) lane: String,
    pub(crate) count: u16,
    pub(crate) ttl: Duration,
    /// Until when to wait.
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Vec<Claimed>, BackendError>>,
}

/// What a transaction did.
struct Outcome {
    held: HashSet<Hold>,
    /// What was claimed, for each lease asked for, in order.
    claimed: Vec<Vec<Claimed>>,
    /// When the next message becomes due in lanes that were looked into.
    due: Vec<(String, i64)>,
}

/// Operations sorted by what they are.
#[derive(Default)]
struct Batch {
    sends: Vec<(String, oneshot::Sender<Result<(), BackendError>>)>,
    extends: Vec<(Hold, Duration, Settled)>,
    acks: Vec<(Hold, Settled)>,
    releases: Vec<(Hold, Duration, Option<Settled>)>,
    leases: Vec<Lease>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.only_leases()
    }

    fn only_leases(&self) -> bool {
        self.sends.is_empty()
            && self.extends.is_empty()
            && self.acks.is_empty()
            && self.releases.is_empty()
    }
}

/// The task.
pub(crate) struct QueueWorker {
    file: QueueFile,
    claims: Claims,
    operations: mpsc::Receiver<Operation>,
    waiting: Vec<Lease>,
    /// When the next message of a lane with somebody waiting becomes due, in microseconds.
    due: HashMap<String, i64>,
    /// What was claimed for somebody who had gone.
    orphans: Vec<Hold>,
    log: LogWatch,
    /// When it was last looked at, or nothing if that should be done now.
    looked: Option<Instant>,
    /// When something was last sent or settled, here or in another process.
    moved: Instant,
}

pub(crate) fn now_micros() -> i64 {
    Utc::now().timestamp_micros()
}

pub(crate) fn after(now: i64, delay: Duration) -> i64 {
    now.saturating_add(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX))
}

impl QueueWorker {
    pub(crate) fn new(
        file: QueueFile,
        claims: Claims,
        operations: mpsc::Receiver<Operation>,
    ) -> Self {
        Self {
            log: file.log(),
            file,
            claims,
            operations,
            waiting: vec![],
            due: HashMap::new(),
            orphans: vec![],
            looked: None,
            moved: Instant::now(),
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(crate) async fn run(mut self) {
        let mut arrived = Vec::with_capacity(BATCH_MAX);
        loop {
            let rests = self.may_rest();
            let wake = self.next_wake(rests);
            tokio::select! {
                biased;
                count = self.operations.recv_many(&mut arrived, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = async {
                    match wake {
                        Some(wake) => sleep_until(wake).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.log.written(), if rests => self.looked = None,
            }
            self.turn(std::mem::take(&mut arrived)).await;
        }
    }

    /// When to look again although nobody asked: only while somebody waits.
    fn next_wake(&self, rests: bool) -> Option<Instant> {
        if !self.orphans.is_empty() {
            return Some(Instant::now());
        }
        let deadline = self.waiting.iter().map(|lease| lease.deadline).min()?;
        let look = match self.looked {
            _ if rests => deadline,
            Some(looked) => looked + self.look_interval(),
            None => Instant::now(),
        };
        let now = now_micros();
        let due = self.due.values().min().map(|due| {
            let micros = u64::try_from(due.saturating_sub(now)).unwrap_or_default();
            // Beyond a look it need not be exact.
            Instant::now() + Duration::from_micros(micros.min(1_000_000))
        });
        Some(due.map_or(look, |due| due.min(look)).min(deadline))
    }

    /// Whether the next write of another process will be told of, so that nobody need look.
    fn may_rest(&mut self) -> bool {
        let quiet = !self.waiting.is_empty() && self.moved.elapsed() >= QUIET;
        if !quiet || self.looked.is_none() {
            return false;
        }
        let rests = self.log.may_rest();
        if self.log.has_untold() {
            self.looked = None;
        }
        rests
    }

    fn look_interval(&self) -> Duration {
        if self.moved.elapsed() < QUIET { LOOK } else { LOOK_QUIET }
    }

    async fn turn(&mut self, arrived: Vec<Operation>) {
        if self.file.is_lost() {
            self.start_afresh(false).await;
        }
        let mut lanes = self.lanes_that_moved();
        self.due.retain(|lane, _| !lanes.contains(lane));
        let mut counting = Vec::new();
        let mut batch = self.sort(arrived, &mut lanes, &mut counting);
        self.waiting.retain(|lease| !lease.answer.is_closed());
        let (ready, waiting) =
            self.waiting.drain(..).partition(|lease: &Lease| lanes.contains(&lease.lane));
        self.waiting = waiting;
        batch.leases = ready;
        if !batch.is_empty() {
            self.work(batch).await;
        }
        self.expire();
        for (lane, answer) in counting {
            let _ = answer.send(self.count(&lane).await);
        }
    }

    /// Lanes in which there may be something for those who wait: messages became due, or another
    /// process wrote.
    fn lanes_that_moved(&mut self) -> BTreeSet<String> {
        let now = now_micros();
        let due = self.due.iter().filter(|(_, due)| **due <= now);
        let mut lanes: BTreeSet<String> = due.map(|(lane, _)| lane.clone()).collect();
        let look = self.looked.is_none_or(|looked| looked.elapsed() >= self.look_interval());
        if !self.waiting.is_empty() && look {
            let looked = Instant::now();
            self.looked = Some(looked);
            if self.log.moved() {
                self.moved = looked;
                lanes.extend(self.waiting.iter().map(|lease| lease.lane.clone()));
            }
        }
        lanes
    }

    fn sort(
        &mut self,
        arrived: Vec<Operation>,
        lanes: &mut BTreeSet<String>,
        counting: &mut Vec<(String, oneshot::Sender<Result<QueueStats, BackendError>>)>,
    ) -> Batch {
        let mut batch = Batch::default();
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
        batch
    }

    /// Does a batch, on a new file if the present one turns out to be lost.
    async fn work(&mut self, batch: Batch) {
        let mut attempt = self.transaction(&batch).await;
        if let Err(error) = &attempt {
            let damaged = error::fault(error) == Fault::Corrupt;
            self.claims.rollback().await;
            if (self.file.is_lost() || damaged) && self.start_afresh(damaged).await {
                attempt = self.transaction(&batch).await;
                if attempt.is_err() {
                    self.claims.rollback().await;
                }
            }
        }
        match attempt {
            Ok(outcome) => self.answer(batch, outcome),
            Err(error) => refuse(batch, &error::driver("work on the queue", error)),
        }
    }

    /// Replaces the file; whether that went well.
    async fn start_afresh(&mut self, damaged: bool) -> bool {
        match self.file.replace(damaged).await {
            Ok((file, claims)) => {
                tracing::warn!("the queue's file was lost; the queue starts empty");
                self.log = file.log();
                (self.file, self.claims) = (file, claims);
                self.due.clear();
                self.orphans.clear();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the queue's file was lost and cannot be made again");
                false
            }
        }
    }

    async fn transaction(&mut self, batch: &Batch) -> sqlx::Result<Outcome> {
        let now = now_micros();
        let mut wishes: Vec<Wanted> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (index, lease) in batch.leases.iter().enumerate() {
            let (until, count) = (after(now, lease.ttl), i64::from(lease.count));
            match wishes.iter().position(|it| it.lane == lease.lane && it.until == until) {
                Some(same) => {
                    wishes[same].count += count;
                    members[same].push(index);
                }
                None => {
                    wishes.push(Wanted { lane: lease.lane.clone(), until, count });
                    members.push(vec![index]);
                }
            }
        }
        let work = work(batch, wishes, now);
        if work.writes {
            self.moved = Instant::now();
        }
        let done = self.claims.transact(work).await?;
        let mut claimed: Vec<Vec<Claimed>> = batch.leases.iter().map(|_| vec![]).collect();
        for (found, members) in done.claimed.into_iter().zip(members) {
            let mut found = found.into_iter();
            for index in members {
                let count = usize::from(batch.leases[index].count);
                claimed[index] = found.by_ref().take(count).collect();
            }
        }
        Ok(Outcome { held: done.held, claimed, due: done.due })
    }

    fn answer(&mut self, batch: Batch, outcome: Outcome) {
        let Outcome { held, claimed, due } = outcome;
        // Only one of several who settle the same hold did it.
        let mut gone = HashSet::new();
        for (hold, answer) in batch.acks {
            let settled = held.contains(&hold) && gone.insert(hold);
            let _ = answer.send(if settled { Ok(()) } else { Err(SettleError::Lost) });
        }
        for (hold, _, answer) in batch.releases {
            let settled = held.contains(&hold) && gone.insert(hold);
            if let Some(answer) = answer {
                let _ = answer.send(if settled { Ok(()) } else { Err(SettleError::Lost) });
            }
        }
        for (hold, _, answer) in batch.extends {
            let extended = held.contains(&hold) && !gone.contains(&hold);
            let _ = answer.send(if extended { Ok(()) } else { Err(SettleError::Lost) });
        }
        for (_, answer) in batch.sends {
            let _ = answer.send(Ok(()));
        }
        for (lease, claimed) in batch.leases.into_iter().zip(claimed) {
            if claimed.is_empty() {
                self.waiting.push(lease);
            } else if let Err(Ok(claimed)) = lease.answer.send(Ok(claimed)) {
                self.orphans.extend(claimed.iter().map(|it| it.hold));
            }
        }
        let waited_for: HashSet<&str> =
            self.waiting.iter().map(|lease| lease.lane.as_str()).collect();
        self.due.extend(due);
        self.due.retain(|lane, _| waited_for.contains(lane.as_str()));
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

    async fn count(&mut self, lane: &str) -> Result<QueueStats, BackendError> {
        let now = now_micros();
        let mut counted = self.claims.count(lane, now).await;
        if let Err(error) = &counted {
            let damaged = error::fault(error) == Fault::Corrupt;
            if (self.file.is_lost() || damaged) && self.start_afresh(damaged).await {
                counted = self.claims.count(lane, now).await;
            }
        }
        let counted = counted.map_err(|error| error::driver("count messages", error))?;
        if counted.overdue > OVERDUE_MAX {
            let promoted = self.claims.promote(lane, now).await;
            promoted.map_err(|error| error::driver("count messages", error))?;
        }
        Ok(counted.stats)
    }
}

fn work(batch: &Batch, claims: Vec<Wanted>, now: i64) -> Work {
    let [mut acked, mut released, mut extended, mut sent, mut look_ahead] =
        std::array::from_fn(|_| JsonArray::new());
    for (hold, _) in &batch.acks {
        acked.push_row(&(hold.id, hold.token));
    }
    for (hold, delay, _) in &batch.releases {
        let state = if delay.is_zero() { READY } else { DELAYED };
        released.push_row(&(hold.id, hold.token, state, after(now, *delay)));
    }
    for (hold, ttl, _) in &batch.extends {
        extended.push_row(&(hold.id, hold.token, after(now, *ttl)));
    }
    for (rows, _) in &batch.sends {
        sent.push(rows);
    }
    let lanes: BTreeSet<&str> = claims.iter().map(|wanted| wanted.lane.as_str()).collect();
    for lane in lanes {
        look_ahead.push_row(&lane);
    }
    Work {
        acked: acked.finish(),
        released: released.finish(),
        extended: extended.finish(),
        sent: sent.finish(),
        writes: !batch.only_leases(),
        claims,
        now,
        look_ahead: look_ahead.finish(),
    }
}

/// Gives everybody in a batch the same error.
fn refuse(batch: Batch, error: &BackendError) {
    tracing::warn!(%error, "the queue failed");
    for (_, answer) in batch.sends {
        let _ = answer.send(Err(again(error)));
    }
    let releases = batch.releases.into_iter().filter_map(|(_, _, answer)| answer);
    let settles = batch.acks.into_iter().map(|(_, answer)| answer);
    let extends = batch.extends.into_iter().map(|(_, _, answer)| answer);
    for answer in settles.chain(releases).chain(extends) {
        let _ = answer.send(Err(again(error).into()));
    }
    for lease in batch.leases {
        let _ = lease.answer.send(Err(again(error)));
    }
}

/// The same failure for one more caller.
pub(crate) fn again(error: &BackendError) -> BackendError {
    BackendError::new(error.fault, error.backend, error.operation, error.detail.clone())
}
