//! The database on SQL.

use crate::config::Location;
use crate::dialect::Dialect;
use crate::engine::{Engine, OnSqlite};
use crate::error::{self, SQLITE};
use crate::reads::Reads;
use crate::schema_state::{self, OlderTables};
use crate::sqlite::change_rows::ChangeRows;
use crate::sqlite::connect;
use crate::sqlite::writer::Writer;
use async_trait::async_trait;
use printmill_backend::BackendError;
use printmill_backend::change::{Change, CommitError, Record, RequestRecord};
use printmill_backend::database::{
    Alike, Database, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount,
    TicketQuery,
};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::ticket::Ticket;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// A database in a SQLite file, which several processes of one machine may share, or on a
/// PostgreSQL or MySQL server.
///
/// All writes go through tasks that commit everything that waits in one transaction.
#[derive(Debug, Clone)]
pub struct SqlDatabase {
    pub(crate) caps: DatabaseCaps,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) reads: Reads,
    pub(crate) migrated: Arc<[String]>,
}

/// What a database says of itself; `name` is the dialect's, and `durable` whether the server
/// flushes each commit. SQLite's file always is flushed.
pub fn capabilities(name: &'static str, durable: bool) -> DatabaseCaps {
    // One writer can number events as it commits; several could not without waiting.
    DatabaseCaps { name, durable, shared: true, numbers_in_commit: name == SQLITE }
}

impl SqlDatabase {
    /// Opens the database at an address like `sqlite:///var/lib/printmill/printmill.db` or
    /// `postgres://user:password@host/database`, and brings its schema up to date. A file is
    /// created with its directory if there is none; a server's database must exist.
    ///
    /// Fails with `Rejected` for an address that is none, for what the server does not let in and
    /// for a server that is too old; `ReadOnly` for a file or server that takes no writes;
    /// `Unavailable` for a server that does not answer; `Corrupt` for a file that is no database.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        Self::open_with(url, OlderTables::Migrate).await
    }

    /// Opens the database as `open` does, and says what becomes of tables that are older than this
    /// version needs. Fails with `Rejected` if they are to be refused.
    pub async fn open_with(url: &str, older: OlderTables) -> Result<Self, BackendError> {
        match url.parse()? {
            Location::Sqlite(path) => Self::open_sqlite(&path, older).await,
            #[cfg(feature = "postgres")]
            Location::Postgres(address) => crate::postgres::database::open(address, older).await,
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => Err(not_built("postgres")),
            #[cfg(feature = "mysql")]
            Location::MySql(address) => crate::mysql::database::open(address, older).await,
            #[cfg(not(feature = "mysql"))]
            Location::MySql(_) => Err(not_built("mysql")),
        }
    }

    /// The migrations that this version made when it opened the database, the oldest first.
    pub fn migrated(&self) -> &[String] {
        &self.migrated
    }

    async fn open_sqlite(path: &Path, older: OlderTables) -> Result<Self, BackendError> {
        let opening = connect::OpeningLock::take(path).await?;
        let connection = connect::migrating(path).await?;
        let prepared = schema_state::prepare(Dialect::Sqlite, &connection, older).await;
        let closed = connection.close().await;
        let migrated = prepared?.into();
        closed.map_err(|error| error::orm("bring the schema up to date", error))?;
        let writer = Writer::start(path).await?;
        drop(opening);
        let reads = Reads::new(connect::readers(path), Dialect::Sqlite);
        let caps = capabilities(SQLITE, true);
        let engine = Arc::new(OnSqlite { writer, reads: reads.clone() });
        Ok(Self { caps, engine, reads, migrated })
    }
}

#[cfg(not(all(feature = "postgres", feature = "mysql")))]
pub(crate) fn not_built(feature: &str) -> BackendError {
    let detail = format!("this binary was built without it: build with `--features {feature}`");
    BackendError::new(printmill_backend::Fault::Rejected, "sql", "read an address", detail)
}

#[async_trait]
impl Database for SqlDatabase {
    fn caps(&self) -> &DatabaseCaps {
        &self.caps
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        if change.is_empty() {
            return Ok(());
        }
        let request = change.request.as_ref().map(|request| request.id.clone());
        let merchant = change.merchant;
        match ChangeRows::of(change) {
            Ok(rows) => self.engine.commit(rows).await,
            Err(refused) => {
                // An answer that was given stands, whatever else is wrong with the change.
                let Some(id) = request else { return Err(refused.into()) };
                let answered = self.reads.request(merchant, &id).await?;
                Err(answered.map_or_else(|| refused.into(), CommitError::Answered))
            }
        }
    }

    async fn get(
        &self,
        scope: Scope,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Record>, BackendError> {
        self.reads.record(scope, kind, id).await
    }

    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        self.reads.records(scope, kind, ids).await
    }

    async fn list(
        &self,
        scope: Scope,
        kind: Kind,
        page: Page,
    ) -> Result<Vec<Record>, BackendError> {
        self.reads.page(scope, kind, page).await
    }

    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        self.reads.request(merchant, id).await
    }

    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        self.reads.tickets(ids).await
    }

    async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        self.reads.find_tickets(query, limit).await
    }

    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError> {
        self.reads.next_tickets(of, each).await
    }

    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        self.reads.ticket_counts().await
    }

    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        self.reads.oldest_ready().await
    }

    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        self.engine.sequence(limit).await
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        self.engine.prune(what, before, limit).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        self.reads.events(query).await
    }

    async fn head(&self) -> Result<u64, BackendError> {
        self.reads.head().await
    }

    async fn oldest(&self) -> Result<u64, BackendError> {
        self.reads.oldest().await
    }

    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        self.reads.seq_at(time).await
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.engine.commits()
    }
}
