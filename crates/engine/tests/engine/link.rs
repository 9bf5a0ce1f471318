//! The way from one process to a database that others use as well: it can break. In paused time.

use async_trait::async_trait;
use printmill_adapter_memory::MemoryDatabase;
use printmill_backend::change::{Change, CommitError, Record, RequestRecord};
use printmill_backend::database::{
    Alike, Database, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount,
    TicketQuery,
};
use printmill_backend::error::{BackendError, Fault};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::ticket::Ticket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A database behind a wire.
pub(crate) struct Link {
    database: Arc<MemoryDatabase>,
    cut: AtomicBool,
    full: AtomicBool,
    /// How many lists were read through it.
    lists: AtomicU64,
    /// How long a commit is under way before it happens.
    latency: Duration,
}

impl Link {
    pub(crate) fn to(database: &Arc<MemoryDatabase>) -> Arc<Self> {
        Self::slow(database, Duration::ZERO)
    }

    pub(crate) fn slow(database: &Arc<MemoryDatabase>, latency: Duration) -> Arc<Self> {
        Arc::new(Self {
            database: database.clone(),
            cut: AtomicBool::new(false),
            full: AtomicBool::new(false),
            lists: AtomicU64::new(0),
            latency,
        })
    }

    /// From now on tickets can neither be read nor written through it.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// From now on nothing can be written through it.
    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    /// How many lists were read through it so far.
    pub(crate) fn lists(&self) -> u64 {
        self.lists.load(Ordering::SeqCst)
    }

    fn pass(&self) -> Result<(), BackendError> {
        if self.cut.load(Ordering::SeqCst) {
            let (what, why) = ("use tickets", "the line is cut");
            return Err(BackendError::new(Fault::Unavailable, "link", what, why));
        }
        Ok(())
    }
}

#[async_trait]
impl Database for Link {
    fn caps(&self) -> &DatabaseCaps {
        self.database.caps()
    }
    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        self.pass()?;
        if self.full.load(Ordering::SeqCst) {
            return Err(BackendError::new(Fault::Full, "link", "commit", "no space").into());
        }
        self.database.commit(change).await
    }
    async fn get(&self, s: Scope, k: Kind, id: &str) -> Result<Option<Record>, BackendError> {
        self.database.get(s, k, id).await
    }
    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        self.database.get_many(scope, kind, ids).await
    }
    async fn list(&self, s: Scope, k: Kind, page: Page) -> Result<Vec<Record>, BackendError> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.database.list(s, k, page).await
    }
    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        self.database.request(merchant, id).await
    }
    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        self.pass()?;
        self.database.tickets(ids).await
    }
    async fn find_tickets(&self, q: TicketQuery, limit: u32) -> Result<Vec<Ticket>, BackendError> {
        self.database.find_tickets(q, limit).await
    }
    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError> {
        self.database.next_tickets(of, each).await
    }
    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        self.database.ticket_counts().await
    }
    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        self.database.oldest_ready().await
    }
    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        self.pass()?;
        self.database.sequence(limit).await
    }
    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        self.pass()?;
        self.database.prune(what, before, limit).await
    }
    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        self.database.events(query).await
    }
    async fn head(&self) -> Result<u64, BackendError> {
        self.database.head().await
    }
    async fn oldest(&self) -> Result<u64, BackendError> {
        self.database.oldest().await
    }
    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        self.database.seq_at(time).await
    }
    fn commits(&self) -> watch::Receiver<u64> {
        self.database.commits()
    }
}
