//! A connection that writes, and where it is kept while nobody uses it.

use super::lookup::Keys;
use crate::dialect::Dialect;
use crate::error;
use crate::sqlite::change_rows::ChangeRows;
use printmill_backend::database::Prunable;
use printmill_backend::{BackendError, CommitError};
use printmill_domain::Timestamp;
use sea_orm::sqlx;
use std::future::Future;

/// How a batch went: an answer for each change, in order.
pub(crate) type Answers = Vec<Result<(), CommitError>>;

/// Why a transaction was not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver says so.
    Driver(sqlx::Error),
    /// A row came in between that the transaction had not seen.
    Conflict,
    /// What is stored or should be cannot be read or written.
    Backend(BackendError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Driver(error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Failure::Backend(error)
    }
}

impl Failure {
    /// As callers of the contract see it.
    pub(crate) fn into_backend(self, dialect: Dialect, operation: &'static str) -> BackendError {
        match self {
            Failure::Driver(error) => error::driver_of(dialect, operation, error),
            Failure::Backend(error) => error,
            Failure::Conflict => BackendError::new(
                printmill_backend::Fault::Unavailable,
                dialect.name(),
                operation,
                "others write the same rows all the time",
            ),
        }
    }
}

/// A connection that writes.
pub(crate) trait Session: Send + Sized + 'static {
    /// What is needed to connect.
    type Target: Clone + Send + Sync + 'static;
    /// Which SQL it speaks.
    const DIALECT: Dialect;

    /// Connects, and makes sure that the server takes writes.
    fn connect(target: &Self::Target) -> impl Future<Output = Result<Self, BackendError>> + Send;

    /// Commits a batch in one transaction, counting tickets in a shard. After an error nothing of
    /// it was applied, unless the connection was lost.
    fn commit(
        &mut self,
        batch: &[&ChangeRows],
        keys: &Keys,
        shard: u16,
    ) -> impl Future<Output = Result<Answers, Failure>> + Send;

    /// Undoes what a transaction did, if there is one.
    fn rollback(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Moves up to `limit` events to the log; how many it were.
    fn sequence(&mut self, limit: u32) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// Deletes up to `limit` rows older than a time; how many it were.
    fn prune(
        &mut self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// Removes counters that count nothing.
    fn tidy_counters(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Whether the server undid a transaction because of another: the same again may succeed.
    fn is_busy(error: &sqlx::Error) -> bool;
}

/// Whether the same transaction may succeed when it is made again.
pub(crate) fn may_repeat<S: Session>(failure: &Failure) -> bool {
    match failure {
        Failure::Conflict => true,
        Failure::Backend(_) => false,
        Failure::Driver(error) => {
            let violation = error.as_database_error().is_some_and(|it| it.is_unique_violation());
            violation || S::is_busy(error)
        }
    }
}

/// Where a connection is kept. It is made when it is first needed, and again after a failure.
pub(crate) struct Slot<S: Session> {
    target: S::Target,
    session: Option<S>,
}

impl<S: Session> Slot<S> {
    pub(crate) fn new(target: S::Target, session: Option<S>) -> Self {
        Self { target, session }
    }

    /// Takes the connection out. Who does not put it back has it closed, and the server undoes
    /// what it had begun.
    pub(crate) async fn take(&mut self) -> Result<S, BackendError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => S::connect(&self.target).await,
        }
    }

    pub(crate) fn put(&mut self, session: S) {
        self.session = Some(session);
    }
}
