//! The one task that writes. What arrives while it commits is the next batch.

use super::change_rows::ChangeRows;
use super::commit::commit_batch;
use super::connect;
use super::prune::{self, Deletion};
use super::watcher;
use crate::error::{self, SQLITE};
use printmill_backend::{BackendError, CommitError, Fault};
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Changes that one transaction takes at most.
const BATCH_MAX: usize = 256;
/// Changes that may wait; beyond it, callers wait to be let in.
const WAITING_MAX: usize = 1024;

type Answer = Result<(), CommitError>;

/// A change, and who waits for the answer.
struct Proposal {
    change: ChangeRows,
    answer: oneshot::Sender<Answer>,
}

/// Rows to delete, and who waits for the count.
struct Pruning {
    deletion: Deletion,
    answer: oneshot::Sender<Result<u32, BackendError>>,
}

/// The way to the task that writes. The task ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    proposals: mpsc::Sender<Proposal>,
    prunings: mpsc::Sender<Pruning>,
    commits: watch::Receiver<u64>,
}

impl Writer {
    /// Opens the connection and starts the task.
    pub(crate) async fn start(path: &Path) -> Result<Self, BackendError> {
        let options = connect::writing(path, SqliteSynchronous::Full);
        let connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| error::driver("open the database", error))?;
        let (proposals, waiting) = mpsc::channel(WAITING_MAX);
        let (prunings, to_prune) = mpsc::channel(1);
        let (counter, commits) = watch::channel(0);
        let counter = Arc::new(counter);
        tokio::spawn(watcher::watch(path.to_owned(), counter.clone()));
        tokio::spawn(write(connection, waiting, to_prune, counter));
        Ok(Self { proposals, prunings, commits })
    }

    /// Hands rows to delete to the task and waits for their number.
    pub(crate) async fn delete(&self, deletion: Deletion) -> Result<u32, BackendError> {
        let (answer, answered) = oneshot::channel();
        self.prunings.send(Pruning { deletion, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Hands a change to the task and waits for its answer.
    pub(crate) async fn commit(&self, change: ChangeRows) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.proposals.send(Proposal { change, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone().into()))
    }

    /// Moves with each batch, and with what other processes write.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}

fn gone() -> BackendError {
    BackendError::new(Fault::Unavailable, SQLITE, "commit a change", "its writer has ended")
}

async fn write(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<Proposal>,
    mut to_prune: mpsc::Receiver<Pruning>,
    counter: Arc<watch::Sender<u64>>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    break;
                }
                commit_and_answer(&mut connection, &mut batch, &counter).await;
                batch.clear();
            }
            Some(Pruning { deletion, answer }) = to_prune.recv() => {
                let _ = answer.send(prune::delete(&mut connection, &deletion).await);
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database did not close cleanly");
    }
}

async fn commit_and_answer(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Proposal>,
    counter: &watch::Sender<u64>,
) {
    let changes: Vec<&ChangeRows> = batch.iter().map(|proposal| &proposal.change).collect();
    match commit_batch(connection, &changes).await {
        Ok(answers) => {
            if answers.iter().any(Result::is_ok) {
                counter.send_modify(|count| *count += 1);
            }
            for (proposal, answer) in batch.drain(..).zip(answers) {
                let _ = proposal.answer.send(answer);
            }
        }
        Err(error) if batch.len() == 1 || error.fault == Fault::Unavailable => {
            tracing::warn!(%error, changes = batch.len(), "a commit failed");
            refuse(batch, error);
        }
        Err(error) => {
            tracing::warn!(%error, changes = batch.len(), "a batch failed; each change goes alone");
            for proposal in batch.drain(..) {
                Box::pin(commit_and_answer(connection, &mut vec![proposal], counter)).await;
            }
        }
    }
}

/// Gives all of a batch the same error; the cause goes to the first.
fn refuse(batch: &mut Vec<Proposal>, error: BackendError) {
    let (fault, detail) = (error.fault, error.detail.clone());
    let mut first = Some(error);
    for proposal in batch.drain(..) {
        let error = first
            .take()
            .unwrap_or_else(|| BackendError::new(fault, SQLITE, "commit a change", detail.clone()));
        let _ = proposal.answer.send(Err(error.into()));
    }
}
