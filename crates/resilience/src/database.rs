//! A database, guarded.

use crate::backend::{Backend, Limits};
use crate::call::{Once, Operation, Repeatable};
use crate::metrics::Metrics;
use async_trait::async_trait;
use printmill_backend::database::{
    Alike, Database, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount,
    TicketQuery,
};
use printmill_backend::{BackendError, Change, CommitError, Record, RequestRecord};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::ticket::Ticket;
use std::sync::Arc;
use tokio::sync::watch;

const GET: Operation = Operation::new(0, "get", "read a record");
const GET_MANY: Operation = Operation::new(1, "get_many", "read records");
const LIST: Operation = Operation::new(2, "list", "list records");
const REQUEST: Operation = Operation::new(3, "request", "look up a request");
const TICKETS: Operation = Operation::new(4, "tickets", "read tickets");
const FIND_TICKETS: Operation = Operation::new(5, "find_tickets", "find tickets");
const NEXT_TICKETS: Operation = Operation::new(6, "next_tickets", "find tickets by sort");
const TICKET_COUNTS: Operation = Operation::new(7, "ticket_counts", "count tickets");
const OLDEST_READY: Operation = Operation::new(8, "oldest_ready", "find the oldest tickets");
const EVENTS: Operation = Operation::new(9, "events", "read events");
const HEAD: Operation = Operation::new(10, "head", "find the end of the event log");
const OLDEST: Operation = Operation::new(11, "oldest", "find the beginning of the event log");
const SEQ_AT: Operation = Operation::new(12, "seq_at", "find a time in the event log");
const COMMIT: Operation = Operation::new(13, "commit", "commit a change");
const SEQUENCE: Operation = Operation::new(14, "sequence", "number events");
const PRUNE: Operation = Operation::new(15, "prune", "delete what is old");

/// Where each sort of calls has its places: commits that wait for a disk leave reads theirs.
const COMPARTMENTS: [(&str, usize); 2] = [("reads", 1), ("commits", 1)];
const COMMITS: usize = 1;

/// Guards a database.
///
/// Reads are repeated. A commit that was not answered is not: whether it was applied is unknown, and
/// a repeat would be answered `Stale` or `FenceLost` where the first had worked. Who asked for it
/// asks again by the same request id, or decides anew by what is stored.
pub(crate) struct Guarded {
    inner: Arc<dyn Database>,
    backend: Arc<Backend>,
}

impl Guarded {
    pub(crate) fn new(metrics: &Metrics, inner: Arc<dyn Database>, limits: Limits) -> Self {
        let name = inner.caps().name;
        let backend = Backend::new(metrics, "database", name, limits, &COMPARTMENTS);
        Self { inner, backend }
    }

    async fn read<F, Fut, T>(
        &self,
        operation: &'static Operation,
        read: F,
    ) -> Result<T, BackendError>
    where
        F: Fn() -> Fut + Copy,
        Fut: Future<Output = Result<T, BackendError>>,
    {
        self.backend.call(operation, Repeatable(read)).await
    }

    async fn write<F, Fut, T, E>(&self, operation: &'static Operation, write: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: crate::call::Failing,
    {
        let limit = self.backend.timeout;
        self.backend.call_within(operation, limit, COMMITS, Once(write)).await
    }
}

#[async_trait]
impl Database for Guarded {
    fn caps(&self) -> &DatabaseCaps {
        self.inner.caps()
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.write(&COMMIT, || self.inner.commit(change)).await
    }

    async fn get(
        &self,
        scope: Scope,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Record>, BackendError> {
        self.read(&GET, || self.inner.get(scope, kind, id)).await
    }

    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        self.read(&GET_MANY, || self.inner.get_many(scope, kind, ids)).await
    }

    async fn list(
        &self,
        scope: Scope,
        kind: Kind,
        page: Page,
    ) -> Result<Vec<Record>, BackendError> {
        let page = &page;
        self.read(&LIST, || self.inner.list(scope, kind, page.clone())).await
    }

    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        self.read(&REQUEST, || self.inner.request(merchant, id)).await
    }

    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        self.read(&TICKETS, || self.inner.tickets(ids)).await
    }

    async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        let query = &query;
        self.read(&FIND_TICKETS, || self.inner.find_tickets(query.clone(), limit)).await
    }

    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError> {
        self.read(&NEXT_TICKETS, || self.inner.next_tickets(of, each)).await
    }

    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        self.read(&TICKET_COUNTS, || self.inner.ticket_counts()).await
    }

    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        self.read(&OLDEST_READY, || self.inner.oldest_ready()).await
    }

    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        self.write(&SEQUENCE, || self.inner.sequence(limit)).await
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        self.write(&PRUNE, || self.inner.prune(what, before, limit)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        let query = &query;
        self.read(&EVENTS, || self.inner.events(query.clone())).await
    }

    async fn head(&self) -> Result<u64, BackendError> {
        self.read(&HEAD, || self.inner.head()).await
    }

    async fn oldest(&self) -> Result<u64, BackendError> {
        self.read(&OLDEST, || self.inner.oldest()).await
    }

    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        self.read(&SEQ_AT, || self.inner.seq_at(time)).await
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.inner.commits()
    }
}
