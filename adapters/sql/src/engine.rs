//! What each dialect does by itself: everything that writes.

use crate::reads::Reads;
use crate::sqlite::change_rows::ChangeRows;
use crate::sqlite::writer::Writer;
use async_trait::async_trait;
use printmill_backend::database::Prunable;
use printmill_backend::{BackendError, CommitError};
use printmill_domain::Timestamp;
use std::fmt::Debug;
use tokio::sync::watch;

/// The writes of a database, as its contract has them.
#[async_trait]
pub(crate) trait Engine: Debug + Send + Sync {
    async fn commit(&self, change: ChangeRows) -> Result<(), CommitError>;
    async fn sequence(&self, limit: u32) -> Result<u32, BackendError>;
    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError>;
    fn commits(&self) -> watch::Receiver<u64>;
}

/// The writes of a SQLite file.
#[derive(Debug)]
pub(crate) struct OnSqlite {
    pub(crate) writer: Writer,
    pub(crate) reads: Reads,
}

#[async_trait]
impl Engine for OnSqlite {
    async fn commit(&self, change: ChangeRows) -> Result<(), CommitError> {
        self.writer.commit(change).await
    }

    async fn sequence(&self, _limit: u32) -> Result<u32, BackendError> {
        Ok(0)
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        match self.reads.prunable(what, before, limit).await? {
            Some(deletion) => self.writer.delete(deletion).await,
            None => Ok(0),
        }
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.writer.commits()
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[async_trait]
impl<S: crate::server::session::Session> Engine for crate::server::writer::Writer<S> {
    async fn commit(&self, change: ChangeRows) -> Result<(), CommitError> {
        self.commit(change).await
    }

    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        self.sequence(limit).await
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        self.prune(what, before, limit).await
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits()
    }
}
