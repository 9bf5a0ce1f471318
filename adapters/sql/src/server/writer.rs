//! The tasks that write: each has a connection, and commits what waits as one batch.

use super::COUNTER_SHARDS;
use super::lookup::Keys;
use super::session::{Answers, Failure, Session, Slot, may_repeat};
use crate::error;
use crate::sqlite::change_rows::ChangeRows;
use printmill_backend::database::Prunable;
use printmill_backend::{BackendError, CommitError, Fault};
use printmill_domain::Timestamp;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, timeout};

const COMMIT: &str = "commit a change";
/// Changes that one transaction takes at most.
const BATCH_MAX: usize = 256;
/// Changes that may wait; beyond it, callers wait to be let in.
const WAITING_MAX: usize = 1024;
/// Tasks that write. While one waits for the server's disk, another looks up and writes.
const WRITERS: usize = 3;
/// How often a transaction that others undid is made again.
const REPEATS: usize = 6;
/// How often counters that count nothing are removed, by a process that commits.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// How long a connection may take to be made, and a transaction to be answered: a network that
/// swallows everything must not hold a writer for ever.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const TRANSACTION_LIMIT: Duration = Duration::from_secs(30);

type Answer = Result<(), CommitError>;

/// A change, and who waits for the answer.
struct Proposal {
    change: ChangeRows,
    answer: oneshot::Sender<Answer>,
}

/// Who hears of commits.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Moves after each commit that is known of, of whatever process.
    pub(crate) counter: watch::Sender<u64>,
    /// Told of this process's commits.
    pub(crate) local: Arc<Notify>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self { counter: watch::Sender::new(0), local: Arc::new(Notify::new()) }
    }

    /// Something was committed.
    pub(crate) fn moved(&self) {
        self.counter.send_modify(|count| *count += 1);
    }
}

/// The way to the tasks that write. They end with the last of them.
pub(crate) struct Writer<S: Session> {
    proposals: mpsc::Sender<Proposal>,
    /// A connection for what is not a commit.
    side: Mutex<Slot<S>>,
    signals: Signals,
    commits: watch::Receiver<u64>,
}

impl<S: Session> std::fmt::Debug for Writer<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<S: Session> Writer<S> {
    /// Starts the tasks, the first of them with a connection that was made.
    pub(crate) fn start(target: S::Target, first: S, signals: &Signals) -> Self {
        let (proposals, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut first = Some(first);
        for _ in 0..WRITERS {
            let task = Task {
                slot: Slot::<S>::new(target.clone(), first.take()),
                waiting: waiting.clone(),
                signals: signals.clone(),
                shard: shard(),
                tidied: Instant::now(),
            };
            tokio::spawn(task.run());
        }
        let commits = signals.counter.subscribe();
        let side = Mutex::new(Slot::new(target, None));
        Self { proposals, side, signals: signals.clone(), commits }
    }

    /// Hands a change to the tasks and waits for its answer.
    pub(crate) async fn commit(&self, change: ChangeRows) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.proposals.send(Proposal { change, answer }).await.map_err(|_| gone::<S>())?;
        answered.await.unwrap_or_else(|_| Err(gone::<S>().into()))
    }

    /// Counts commits.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// Moves up to `limit` events to the log; how many it were.
    pub(crate) async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        const OPERATION: &str = "number events";
        let mut slot = self.side.lock().await;
        for _ in 0..REPEATS {
            let mut session = connected(&mut slot).await?;
            match answered::<S, _>(session.sequence(limit)).await {
                Ok(count) => {
                    slot.put(session);
                    if count > 0 {
                        // Who waits for events can read them only now.
                        self.signals.moved();
                        self.signals.local.notify_one();
                    }
                    return Ok(count);
                }
                Err(failure) if may_repeat::<S>(&failure) => {
                    if session.rollback().await.is_ok() {
                        slot.put(session);
                    }
                }
                Err(failure) => return Err(failure.into_backend(S::DIALECT, OPERATION)),
            }
        }
        Err(Failure::Conflict.into_backend(S::DIALECT, OPERATION))
    }

    /// Deletes up to `limit` rows older than a time; how many they were.
    pub(crate) async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        let mut slot = self.side.lock().await;
        let mut session = connected(&mut slot).await?;
        let pruned = answered::<S, _>(session.prune(what, before, limit)).await;
        let pruned = pruned.map_err(|failure| failure.into_backend(S::DIALECT, "prune"))?;
        slot.put(session);
        Ok(pruned)
    }
}

/// Any shard: two writers with the same one only wait for each other.
fn shard() -> u16 {
    let random = printmill_backend::fresh::token() % u64::from(COUNTER_SHARDS);
    u16::try_from(random).unwrap_or_default()
}

async fn connected<S: Session>(slot: &mut Slot<S>) -> Result<S, BackendError> {
    let connected = timeout(CONNECT_LIMIT, slot.take()).await;
    connected.unwrap_or_else(|_| Err(no_answer::<S>("connect")))
}

async fn answered<S: Session, T>(
    transaction: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let answered = timeout(TRANSACTION_LIMIT, transaction).await;
    answered.unwrap_or_else(|_| Err(Failure::Backend(no_answer::<S>(COMMIT))))
}

fn no_answer<S: Session>(operation: &'static str) -> BackendError {
    let detail = "the server does not answer";
    BackendError::new(Fault::Unavailable, S::DIALECT.name(), operation, detail)
}

fn gone<S: Session>() -> BackendError {
    let detail = "its writers have ended";
    BackendError::new(Fault::Unavailable, S::DIALECT.name(), COMMIT, detail)
}

/// One of the tasks that write.
struct Task<S: Session> {
    slot: Slot<S>,
    waiting: Arc<Mutex<mpsc::Receiver<Proposal>>>,
    signals: Signals,
    shard: u16,
    tidied: Instant,
}

impl<S: Session> Task<S> {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let count = self.waiting.lock().await.recv_many(&mut batch, BATCH_MAX).await;
            if count == 0 {
                return;
            }
            self.commit_and_answer(&mut batch).await;
            batch.clear();
            self.tidy().await;
        }
    }

    async fn commit_and_answer(&mut self, batch: &mut Vec<Proposal>) {
        let changes: Vec<&ChangeRows> = batch.iter().map(|proposal| &proposal.change).collect();
        match self.commit(&changes).await {
            Ok(answers) => {
                if answers.iter().any(Result::is_ok) {
                    self.signals.moved();
                    self.signals.local.notify_one();
                }
                for (proposal, answer) in batch.drain(..).zip(answers) {
                    let _ = proposal.answer.send(answer);
                }
            }
            Err(error) if batch.len() == 1 || error.retryable() => {
                tracing::warn!(error = %error.chain(), changes = batch.len(), "a commit failed");
                refuse(batch, error);
            }
            Err(error) => {
                let changes = batch.len();
                tracing::warn!(
                    error = %error.chain(), changes, "a batch failed; each change goes alone"
                );
                for proposal in batch.drain(..) {
                    Box::pin(self.commit_and_answer(&mut vec![proposal])).await;
                }
            }
        }
    }

    /// Commits a batch, again if others came in between: what they wrote is then seen.
    async fn commit(&mut self, batch: &[&ChangeRows]) -> Result<Answers, BackendError> {
        let keys = Keys::of(batch);
        for _ in 0..REPEATS {
            let mut session = connected(&mut self.slot).await?;
            match answered::<S, _>(session.commit(batch, &keys, self.shard)).await {
                Ok(answers) => {
                    self.slot.put(session);
                    return Ok(answers);
                }
                Err(failure) => {
                    let repeat = may_repeat::<S>(&failure);
                    // Without a connection that works, the server undoes it by itself.
                    if (repeat || is_refusal(&failure)) && session.rollback().await.is_ok() {
                        self.slot.put(session);
                    }
                    if !repeat {
                        return Err(failure.into_backend(S::DIALECT, COMMIT));
                    }
                }
            }
        }
        Err(Failure::Conflict.into_backend(S::DIALECT, COMMIT))
    }

    /// Counters of sorts that are no more would add up otherwise.
    async fn tidy(&mut self) {
        if self.tidied.elapsed() < TIDY_INTERVAL {
            return;
        }
        self.tidied = Instant::now();
        let Ok(mut session) = connected(&mut self.slot).await else { return };
        match answered::<S, _>(session.tidy_counters()).await {
            Ok(()) => self.slot.put(session),
            Err(failure) => {
                let error = failure.into_backend(S::DIALECT, "remove counters");
                tracing::debug!(error = %error.chain(), "empty counters stay for now");
            }
        }
    }
}

/// Whether the connection works and only what was asked of it does not.
fn is_refusal(failure: &Failure) -> bool {
    match failure {
        Failure::Driver(error) => {
            error.as_database_error().is_some() && error::fault(error) == Fault::Other
        }
        Failure::Backend(error) => !error.retryable(),
        Failure::Conflict => true,
    }
}

/// Gives all of a batch the same error; the cause goes to the first.
fn refuse(batch: &mut Vec<Proposal>, error: BackendError) {
    let (fault, backend, detail) = (error.fault, error.backend, error.detail.clone());
    let mut first = Some(error);
    for proposal in batch.drain(..) {
        let error = first
            .take()
            .unwrap_or_else(|| BackendError::new(fault, backend, COMMIT, detail.clone()));
        let _ = proposal.answer.send(Err(error.into()));
    }
}
