//! A database in memory: one mutex, and a log that is numbered by `sequence`.

use crate::config::MemoryConfig;
use crate::error::MemoryError;
use crate::locked;
use async_trait::async_trait;
use printmill_backend::change::{
    Change, CommitError, Expected, Record, RecordWrite, RequestRecord, TicketGuard, TicketWrite,
};
use printmill_backend::database::{
    Alike, Database, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount,
    TicketQuery,
};
use printmill_backend::error::{BackendError, Fault};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::{Event, EventDraft, event_id, stream_uuid};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::{Stage, Ticket, TicketState};
use printmill_domain::worker::GONE;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use tokio::sync::watch;

const CAPS: DatabaseCaps =
    DatabaseCaps { name: "memory", durable: false, shared: false, numbers_in_commit: false };

/// A database in memory. Share it with an `Arc`.
#[derive(Debug)]
pub struct MemoryDatabase {
    tables: Mutex<Tables>,
    commits: watch::Sender<u64>,
}

impl MemoryDatabase {
    /// An empty database.
    pub fn new() -> Self {
        Self { tables: Mutex::default(), commits: watch::Sender::new(0) }
    }
}

impl Default for MemoryDatabase {
    fn default() -> Self {
        Self::new()
    }
}

/// An empty database, by address: `memory://`.
pub fn open_database(url: &str) -> Result<MemoryDatabase, MemoryError> {
    MemoryConfig::from_url(url).map(|MemoryConfig| MemoryDatabase::new())
}

#[derive(Debug, Default)]
struct Tables {
    records: BTreeMap<Kind, BTreeMap<String, Record>>,
    tickets: BTreeMap<TicketId, Ticket>,
    counts: BTreeMap<(Alike, Stage), u64>,
    requests: HashMap<(MerchantId, String), RequestRecord>,
    places: HashSet<(String, u64)>,
    /// Committed events that have no `seq` yet, in the order of their commits.
    inbox: VecDeque<Event>,
    /// Event `seq` n is at n - 1 - `pruned`.
    log: VecDeque<Event>,
    /// How many events were deleted from the beginning of the log.
    pruned: u64,
}

impl Tables {
    fn commit(&mut self, change: Change) -> Result<(), CommitError> {
        if let Some(request) = &change.request
            && let Some(known) = self.requests.get(&(change.merchant, request.id.clone()))
        {
            return Err(CommitError::Answered(known.clone()));
        }
        self.check_records(&change.records)?;
        let events = self.numbered_later(&change)?;
        let tickets = self.guarded(change.tickets)?;
        // Everything holds; from here on nothing can fail.
        for RecordWrite { record, .. } in change.records {
            self.records.entry(record.kind).or_default().insert(record.id.clone(), record);
        }
        self.places.extend(events.iter().map(|event| place(&event.draft)));
        self.inbox.extend(events);
        for (id, ticket) in tickets {
            self.count(&ticket, 1);
            if let Some(before) = self.tickets.insert(id, ticket) {
                self.count(&before, -1);
            }
        }
        if let Some(request) = change.request {
            self.requests.insert((change.merchant, request.id.clone()), request);
        }
        Ok(())
    }

    /// Adds to the counters what a ticket is, or takes it off.
    fn count(&mut self, ticket: &Ticket, by: i64) {
        if ticket.state == TicketState::Done {
            return;
        }
        let key = (alike(ticket), ticket.stage());
        let count = self.counts.entry(key.clone()).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.counts.remove(&key);
        }
    }

    fn check_records(&self, writes: &[RecordWrite]) -> Result<(), CommitError> {
        let mut written = HashMap::new();
        for RecordWrite { record, expected } in writes {
            let key = (record.kind, record.id.as_str());
            let stored = written.get(&key).copied().or_else(|| self.version(record));
            let holds = match expected {
                Expected::New => stored.is_none(),
                Expected::Version(version) => stored == Some(*version),
            };
            if !holds {
                return Err(CommitError::Stale { kind: record.kind.name(), id: record.id.clone() });
            }
            written.insert(key, record.version);
        }
        Ok(())
    }

    fn version(&self, record: &Record) -> Option<u64> {
        Some(self.records.get(&record.kind)?.get(&record.id)?.version)
    }

    fn numbered_later(&self, change: &Change) -> Result<Vec<Event>, CommitError> {
        let mut places = HashSet::new();
        let events = change.events.iter().map(|draft| {
            let place = place(draft);
            if self.places.contains(&place) || !places.insert(place) {
                return Err(CommitError::Stale { kind: "event", id: draft.stream.clone() });
            }
            let stream = stream_uuid(&draft.stream).ok_or_else(|| {
                let detail = format!("'{}' is not the id of a stream", draft.stream);
                BackendError::new(Fault::Rejected, CAPS.name, "commit a change", detail)
            })?;
            Ok(Event {
                seq: 0,
                id: event_id(stream, draft.sequence),
                merchant: change.merchant,
                draft: draft.clone(),
                at: change.at,
                trace: change.trace.clone(),
            })
        });
        events.collect()
    }

    fn guarded(&self, writes: Vec<TicketWrite>) -> Result<BTreeMap<TicketId, Ticket>, CommitError> {
        let mut tickets: BTreeMap<TicketId, Ticket> = BTreeMap::new();
        for TicketWrite { mut ticket, guard } in writes {
            let stored = tickets.get(&ticket.id).or_else(|| self.tickets.get(&ticket.id));
            let holds = match (guard, stored) {
                (TicketGuard::New, stored) => stored.is_none(),
                (_, None) => false,
                (TicketGuard::Version(version), Some(stored)) => stored.version == version,
                (TicketGuard::Held { attempt, token }, Some(stored)) => {
                    // The holder may have read it before its own last heartbeat.
                    ticket.version = stored.version + 1;
                    stored.state == TicketState::Leased
                        && stored.attempt == attempt
                        && stored.token == Some(token)
                }
            };
            if !holds {
                return Err(CommitError::FenceLost { id: ticket.id.to_string() });
            }
            tickets.insert(ticket.id, ticket);
        }
        Ok(tickets)
    }

    fn head(&self) -> u64 {
        self.pruned + self.log.len() as u64
    }

    fn prune(&mut self, what: Prunable, before: Timestamp, limit: usize) -> usize {
        let before = before.timestamp();
        match what {
            Prunable::Requests => {
                let old = self.requests.iter().filter(|(_, it)| it.at.timestamp() < before);
                let old: Vec<_> = old.take(limit).map(|(key, _)| key.clone()).collect();
                old.iter().for_each(|key| _ = self.requests.remove(key));
                old.len()
            }
            Prunable::DoneTickets => {
                let old = self.tickets.values().filter(|ticket| {
                    ticket.state == TicketState::Done && ticket.updated_at.timestamp() < before
                });
                let old: Vec<_> = old.take(limit).map(|ticket| ticket.id).collect();
                old.iter().for_each(|id| _ = self.tickets.remove(id));
                old.len()
            }
            Prunable::Events => {
                let all_but_last = self.log.len().saturating_sub(1).min(limit);
                let old = self.log.iter().take(all_but_last);
                let count = old.take_while(|event| event.at.timestamp() < before).count();
                for event in self.log.drain(..count) {
                    self.places.remove(&place(&event.draft));
                }
                self.pruned += count as u64;
                count
            }
            Prunable::GoneWorkers => {
                let Some(workers) = self.records.get_mut(&Kind::Worker) else { return 0 };
                let old = workers.values().filter(|record| {
                    record.state == GONE && record.updated_at.timestamp() < before
                });
                let old: Vec<_> = old.take(limit).map(|record| record.id.clone()).collect();
                old.iter().for_each(|id| _ = workers.remove(id));
                old.len()
            }
        }
    }

    fn find(&self, scope: Scope, kind: Kind, id: &str) -> Option<Record> {
        let record = self.records.get(&kind)?.get(id)?;
        within(scope, record).then(|| record.clone())
    }
}

fn place(draft: &EventDraft) -> (String, u64) {
    (draft.stream.clone(), draft.sequence)
}

fn within(scope: Scope, record: &Record) -> bool {
    match scope {
        Scope::Merchant(merchant) => record.merchant == merchant,
        Scope::Facility(facility) => record.facility == Some(facility),
    }
}

fn wanted(query: &TicketQuery, ticket: &Ticket) -> bool {
    match query {
        TicketQuery::Waiting => ticket.stage() == Stage::Waiting,
        TicketQuery::WaitingAmong(ids) => {
            ticket.stage() == Stage::Waiting && ids.contains(&ticket.id)
        }
        TicketQuery::Ripe { due_by } => {
            ticket.stage() == Stage::Delayed && ticket.due_at <= *due_by
        }
        TicketQuery::Overdue { lane, before } => {
            let since = match ticket.state {
                TicketState::Queued => ticket.sent_at,
                TicketState::Leased => ticket.lease_until,
                TicketState::Done | TicketState::Dead | TicketState::Cancelled => None,
            };
            ticket.lane == *lane && since.is_some_and(|since| since < *before)
        }
        TicketQuery::InState(state) => ticket.state == *state,
        TicketQuery::Dead(wanted) => {
            ticket.state == TicketState::Dead
                && wanted.lane.as_ref().is_none_or(|lane| ticket.lane == *lane)
                && wanted.kind.as_ref().is_none_or(|kind| ticket.kind == *kind)
                && wanted.merchant.is_none_or(|merchant| ticket.merchant == merchant)
                && wanted.after.is_none_or(|after| (ticket.due_at, ticket.id) > after)
        }
    }
}

fn alike(ticket: &Ticket) -> Alike {
    Alike {
        lane: ticket.lane.clone(),
        class: ticket.class,
        merchant: ticket.merchant,
        kind: ticket.kind.clone(),
    }
}

fn meets(query: &EventQuery, event: &Event) -> bool {
    let stream = &event.draft.stream;
    let stream_kind = stream.split_once('_').map_or("", |(kind, _)| kind);
    query.merchant.is_none_or(|merchant| event.merchant == merchant)
        && query.stream.as_ref().is_none_or(|wanted| stream == wanted)
        && (query.kinds.is_empty() || query.kinds.contains(&event.draft.kind))
        && (query.stream_kinds.is_empty()
            || query.stream_kinds.iter().any(|wanted| wanted == stream_kind))
        && query.shard.is_none_or(|shard| shard.holds(stream))
}

#[async_trait]
impl Database for MemoryDatabase {
    fn caps(&self) -> &DatabaseCaps {
        &CAPS
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        locked(&self.tables).commit(change)?;
        self.commits.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn get(
        &self,
        scope: Scope,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Record>, BackendError> {
        Ok(locked(&self.tables).find(scope, kind, id))
    }

    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        let tables = locked(&self.tables);
        Ok(ids.iter().filter_map(|id| tables.find(scope, kind, id)).collect())
    }

    async fn list(
        &self,
        scope: Scope,
        kind: Kind,
        page: Page,
    ) -> Result<Vec<Record>, BackendError> {
        let tables = locked(&self.tables);
        let records = tables.records.get(&kind).into_iter().flat_map(BTreeMap::values).rev();
        let matching = records
            .filter(|record| page.before.as_ref().is_none_or(|before| record.id < *before))
            .filter(|record| page.state.as_ref().is_none_or(|state| record.state == *state))
            .filter(|record| within(scope, record));
        Ok(matching.take(page.limit as usize).cloned().collect())
    }

    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        Ok(locked(&self.tables).requests.get(&(merchant, id.to_owned())).cloned())
    }

    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        let tables = locked(&self.tables);
        Ok(ids.iter().filter_map(|id| tables.tickets.get(id).cloned()).collect())
    }

    async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        let tables = locked(&self.tables);
        let mut found: Vec<_> =
            tables.tickets.values().filter(|ticket| wanted(&query, ticket)).collect();
        found.sort_by_key(|ticket| (ticket.due_at, ticket.id));
        Ok(found.into_iter().take(limit as usize).cloned().collect())
    }

    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError> {
        let tables = locked(&self.tables);
        let mut waiting: Vec<&Ticket> =
            tables.tickets.values().filter(|it| it.stage() == Stage::Waiting).collect();
        waiting.sort_by_key(|ticket| (ticket.due_at, ticket.id));
        let mut taken: BTreeMap<Alike, u32> = of.iter().map(|sort| (sort.clone(), 0)).collect();
        let found = waiting.into_iter().filter(|ticket| {
            let taken = taken.get_mut(&alike(ticket)).filter(|taken| **taken < each);
            taken.map(|taken| *taken += 1).is_some()
        });
        Ok(found.cloned().collect())
    }

    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        let tables = locked(&self.tables);
        let counts = tables.counts.iter();
        Ok(counts
            .map(|((of, stage), count)| StageCount { of: of.clone(), stage: *stage, count: *count })
            .collect())
    }

    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        let tables = locked(&self.tables);
        let ready = tables.tickets.values();
        let ready = ready.filter(|it| matches!(it.stage(), Stage::Waiting | Stage::Sent));
        let mut oldest: BTreeMap<(&Lane, MerchantId), Timestamp> = BTreeMap::new();
        for ticket in ready {
            let since = oldest.entry((&ticket.lane, ticket.merchant)).or_insert(ticket.due_at);
            *since = (*since).min(ticket.due_at);
        }
        let found = oldest.into_iter();
        Ok(found
            .map(|((lane, merchant), due_at)| OldestReady { lane: lane.clone(), merchant, due_at })
            .collect())
    }

    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        let mut tables = locked(&self.tables);
        let mut numbered = 0;
        while numbered < limit
            && let Some(mut event) = tables.inbox.pop_front()
        {
            event.seq = tables.head() + 1;
            tables.log.push_back(event);
            numbered += 1;
        }
        Ok(numbered)
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        let pruned = locked(&self.tables).prune(what, before, limit as usize);
        Ok(u32::try_from(pruned).unwrap_or(limit))
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        let tables = locked(&self.tables);
        let after = query.after.saturating_sub(tables.pruned);
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let matching = tables
            .log
            .iter()
            .skip(after)
            .take_while(|event| query.until.is_none_or(|until| event.seq <= until))
            .filter(|event| meets(&query, event));
        Ok(matching.take(query.limit as usize).cloned().collect())
    }

    async fn head(&self) -> Result<u64, BackendError> {
        Ok(locked(&self.tables).head())
    }

    async fn oldest(&self) -> Result<u64, BackendError> {
        let tables = locked(&self.tables);
        Ok(tables.log.front().map_or(tables.head() + 1, |event| event.seq))
    }

    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        let tables = locked(&self.tables);
        let first = tables.log.iter().find(|event| event.at >= time);
        Ok(first.map_or(tables.head(), |event| event.seq - 1))
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}
