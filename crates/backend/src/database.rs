//! The database contract: one way to change anything, and narrow reads.

use crate::change::{Change, CommitError, Record, RequestRecord};
use crate::error::{BackendError, Fault};
use async_trait::async_trait;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Kind, Versioned};
use printmill_domain::event::{Event, Shard};
use printmill_domain::ids::{FacilityId, MerchantId, TicketId};
use printmill_domain::lane::{Class, Lane};
use printmill_domain::ticket::{Stage, Ticket, TicketState};
use std::time::Duration;
use tokio::sync::watch;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseCaps {
    /// Its name in messages: `sqlite`, `memory`.
    pub name: &'static str,
    /// Whether a commit survives a crash of the machine.
    pub durable: bool,
    /// Whether several processes may use it at the same time.
    pub shared: bool,
    /// Whether events get their `seq` in the commit itself, so that nobody need call `sequence`.
    pub numbers_in_commit: bool,
}

/// Who reads. Every read of a record names one; rows outside of it do not exist for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A merchant, or the platform.
    Merchant(MerchantId),
    /// A facility.
    Facility(FacilityId),
}

/// Which part of a list is wanted. Lists go from the newest id to the oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only ids before (older than) this one.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// Only records in this state.
    pub state: Option<String>,
}

/// Which events are wanted: those that meet every condition. They come in the order of `seq`.
///
/// Merchant, stream and kinds are looked up. Kinds of streams and shards are compared event by
/// event: who reads only by those bounds the way with `until`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Only events after this place in the log.
    pub after: u64,
    /// Only events up to this place, itself included.
    pub until: Option<u64>,
    /// At most so many.
    pub limit: u32,
    /// Only this merchant's.
    pub merchant: Option<MerchantId>,
    /// Only this stream's.
    pub stream: Option<String>,
    /// Only these kinds, as in `order.placed`; none means all.
    pub kinds: Vec<String>,
    /// Only streams whose ids have one of these prefixes, as in `ord`; none means all.
    pub stream_kinds: Vec<String>,
    /// Only this part of all streams.
    pub shard: Option<Shard>,
}

/// Which tickets are wanted, the longest due first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketQuery {
    /// Those that wait for their turn: queued, due, and not handed to the queue.
    Waiting,
    /// Those of these that wait for their turn.
    WaitingAmong(Vec<TicketId>),
    /// Those that wait for their time, which has come by then.
    Ripe {
        /// Due by then.
        due_by: Timestamp,
    },
    /// Queued and handed to the queue before a time, or leased with a lease that ended before it.
    Overdue {
        /// Which lane.
        lane: Lane,
        /// Handed over, or lease ended, before.
        before: Timestamp,
    },
    /// In a state. May look at every ticket: for tests and tools.
    InState(TicketState),
    /// Those that were given up, by what operators ask for.
    Dead(DeadQuery),
}

/// What may be deleted when it is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prunable {
    /// Requests, by when they were answered.
    Requests,
    /// Tickets that are done, by when they were settled. Dead ones are never pruned.
    DoneTickets,
    /// Events, by when they were decided, from the beginning of the log.
    Events,
    /// Records of workers that are gone, by when that was committed.
    GoneWorkers,
}

impl Prunable {
    /// All of them.
    pub const ALL: [Prunable; 4] =
        [Prunable::Requests, Prunable::DoneTickets, Prunable::Events, Prunable::GoneWorkers];
}

/// Which of the tickets that were given up are wanted; what is not set is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadQuery {
    /// Of this lane.
    pub lane: Option<Lane>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this merchant.
    pub merchant: Option<MerchantId>,
    /// Only those behind this one in the list: its `due_at` and id.
    pub after: Option<(Timestamp, TicketId)>,
}

/// Tickets that are alike in all that lanes care about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alike {
    /// The lane.
    pub lane: Lane,
    /// How urgent.
    pub class: Class,
    /// Whose.
    pub merchant: MerchantId,
    /// What is to be done.
    pub kind: String,
}

/// How many tickets of a sort are at a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageCount {
    /// Which tickets.
    pub of: Alike,
    /// Where they are on their way. Those that are done are not counted.
    pub stage: Stage,
    /// How many; never 0.
    pub count: u64,
}

/// Since when the ticket of a lane and merchant that is ready the longest has been due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldestReady {
    /// The lane.
    pub lane: Lane,
    /// Whose.
    pub merchant: MerchantId,
    /// Since when it has been due.
    pub due_at: Timestamp,
}

/// How soon a database tells of commits that another process made.
pub const WAKE_WITHIN: Duration = Duration::from_secs(2);

/// A database.
///
/// # Contract
///
/// - **Atomicity.** `commit` applies a whole change or nothing of it, also when the process or
///   the machine dies in the middle.
/// - **Durability.** When `commit` has returned `Ok` and the capabilities say `durable`, the
///   change survives a crash of the machine.
/// - **Versions.** A record is written only if the stored version is the expected one, and a new
///   one only if there is none; otherwise the answer is `Stale`.
/// - **Fences.** A ticket is written only if its guard holds; otherwise the answer is
///   `FenceLost`. A ticket that its holder writes (`Held`) gets the version after the stored one,
///   whatever its own says: its holder may have read it before a heartbeat. A change that is
///   stale as well answers `Stale`.
/// - **Requests.** A change with a request whose id the merchant used before is not applied; the
///   answer is `Answered` with what was stored, whatever else is wrong with the change.
/// - **Events.** `(stream, sequence)` is unique, otherwise the answer is `Stale`. Every committed
///   event gets a `seq` in the log, at the latest when `sequence` is called after the commit; in
///   the commit itself where the capabilities say `numbers_in_commit`.
///   `seq` starts at 1, has no gaps, never changes, and keeps the order of each stream. A reader
///   that has seen `seq` n never later finds an event with a smaller one.
/// - **Queries** of events answer, in the order of `seq`, exactly the events that meet every
///   condition, the first of them up to the limit.
/// - **Time.** `seq_at` answers the place just before the first event in the log that was decided
///   at that time or later, also when clocks went back in between; the head when there is none.
///   Reading after it misses none of them.
/// - **Kept.** `oldest` is the smallest `seq` that can be read; one after the head when there is
///   none. Events go from the front only.
/// - **Pruning.** `prune` deletes what is older than a time, to the second, up to `limit` of it,
///   and nothing else; how much it was. It returns 0 when nothing is left to delete. An event is
///   deleted only with all before it, and the last of the log never, so that what is left has no
///   gaps and `head` stays. What was pruned is as if it had never been: its request id is free,
///   its place in a stream is not checked.
/// - **Reads** see all commits that returned before they began, made through any handle.
/// - **Counts.** `ticket_counts` and `oldest_ready` are exact for what is committed. A database
///   that is made for many tickets keeps them in the commit, so that asking often costs little.
/// - **Wake-ups.** The counter of `commits` moves after each commit: when it returns, for those
///   through this handle; within [`WAKE_WITHIN`] for those through any other, also of another
///   process. It may move without one. A counter that stands still costs next to nothing, so who
///   waits for commits need not ask.
/// - **Scope.** A read finds only rows within its scope. Records of other merchants do not exist
///   for it.
/// - **Duplicates.** A commit that failed with a retryable `Backend` error may have been
///   applied. Repeating it then answers `Stale`, `FenceLost` or `Answered`; it is never applied
///   twice.
/// - **Who retries.** The caller. The adapter retries nothing but the database's own busy states.
#[async_trait]
pub trait Database: Send + Sync {
    /// What it is and promises.
    fn caps(&self) -> &DatabaseCaps;

    /// Commits a change, whole or not at all.
    async fn commit(&self, change: Change) -> Result<(), CommitError>;

    /// One record, if it is within the scope.
    async fn get(&self, scope: Scope, kind: Kind, id: &str)
    -> Result<Option<Record>, BackendError>;

    /// Several records by id, in the order asked; those not within the scope are left out.
    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError>;

    /// A page of records, newest id first.
    async fn list(&self, scope: Scope, kind: Kind, page: Page)
    -> Result<Vec<Record>, BackendError>;

    /// How a request was answered, if it was.
    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError>;

    /// Tickets by id, in no order; missing ones are left out.
    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError>;

    /// Tickets by condition, the longest due first.
    async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError>;

    /// Of each sort, up to `each` of the tickets that wait for their turn, the longest due
    /// first, in the order of `find_tickets`.
    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError>;

    /// How many open and dead tickets there are, by sort and stage.
    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError>;

    /// What has been ready the longest, by lane and merchant; ready is who waits for its turn or
    /// was handed to the queue.
    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError>;

    /// Gives `seq` to up to `limit` committed events that have none; how many it were. Databases
    /// that number events in the commit return 0.
    async fn sequence(&self, limit: u32) -> Result<u32, BackendError>;

    /// Deletes what is older than a time, up to `limit` of it; how much it was. Commits go on
    /// between two calls, so a large backlog is pruned by many calls with a small `limit`.
    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError>;

    /// A part of the event log.
    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError>;

    /// The last `seq` in the log, 0 when it is empty.
    async fn head(&self) -> Result<u64, BackendError>;

    /// The `seq` of the oldest event that is kept; one after the head when there is none.
    async fn oldest(&self) -> Result<u64, BackendError>;

    /// The place just before the first event that was decided at a time or later; the head when
    /// there is none.
    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError>;

    /// A counter that moves after each commit, also of other processes.
    fn commits(&self) -> watch::Receiver<u64>;
}

/// Typed reads on top of [`Database`]. Implemented for every database; do not implement it.
#[async_trait]
pub trait DatabaseExt: Database {
    /// One aggregate, if it is within the scope.
    async fn find<A: Aggregate>(
        &self,
        scope: Scope,
        id: &str,
    ) -> Result<Option<Versioned<A>>, BackendError> {
        self.get(scope, A::KIND, id).await?.map(decode).transpose()
    }

    /// Several aggregates by id.
    async fn find_many<A: Aggregate>(
        &self,
        scope: Scope,
        ids: &[String],
    ) -> Result<Vec<Versioned<A>>, BackendError> {
        self.get_many(scope, A::KIND, ids).await?.into_iter().map(decode).collect()
    }

    /// A page of aggregates, newest first.
    async fn page<A: Aggregate>(
        &self,
        scope: Scope,
        page: Page,
    ) -> Result<Vec<Versioned<A>>, BackendError> {
        self.list(scope, A::KIND, page).await?.into_iter().map(decode).collect()
    }
}

impl<D: Database + ?Sized> DatabaseExt for D {}

fn decode<A: Aggregate>(record: Record) -> Result<Versioned<A>, BackendError> {
    let value = serde_json::from_str(&record.document).map_err(|error| {
        let detail = format!("{} {} cannot be read", record.kind.name(), record.id);
        BackendError::new(Fault::Corrupt, "database", "decode a record", detail).because(error)
    })?;
    Ok(Versioned { version: record.version, value })
}
