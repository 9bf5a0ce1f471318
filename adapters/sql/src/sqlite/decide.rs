//! Which changes of a batch may be applied, decided in memory from what is stored.

use super::change_rows::{ChangeRows, EventRow, Holding, RecordRow, TicketRow};
use printmill_backend::change::Expected;
use printmill_backend::{CommitError, RequestRecord, TicketGuard};
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Class;
use printmill_domain::ticket::{Stage, Ticket};
use std::collections::{HashMap, HashSet};

/// What tickets that are counted together have in common. No ticket ever changes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    pub(crate) lane: String,
    pub(crate) class: Class,
    pub(crate) merchant: String,
    pub(crate) kind: String,
}

/// What is stored of everything that a batch touches, moved on by each change let through.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) records: HashMap<Kind, HashMap<String, u64>>,
    pub(crate) tickets: HashMap<TicketId, Holding>,
    pub(crate) events: HashMap<String, HashSet<u64>>,
    pub(crate) requests: HashMap<String, HashMap<String, RequestRecord>>,
    /// The last `seq` in the log.
    pub(crate) head: i64,
    /// How the counters of tickets change.
    pub(crate) counts: HashMap<(Sort, Stage), i64>,
    /// The latest time of all events in the log.
    pub(crate) latest: Option<i64>,
}

impl Stored {
    /// Lets a change through, or says why not. Earlier changes of the batch win.
    ///
    /// Returns the versions that its tickets get, in order.
    pub(crate) fn admit(&mut self, change: &ChangeRows) -> Result<Vec<u64>, CommitError> {
        if let Some(answered) = self.answered(change) {
            return Err(CommitError::Answered(answered.clone()));
        }
        for (index, record) in change.records.iter().enumerate() {
            self.check_record(record, &change.records[..index])?;
        }
        for (index, event) in change.events.iter().enumerate() {
            self.check_event(event, &change.events[..index])?;
        }
        let mut versions = Vec::with_capacity(change.tickets.len());
        for (index, ticket) in change.tickets.iter().enumerate() {
            versions.push(self.check_ticket(ticket, &change.tickets[..index], &versions)?);
        }
        self.advance(change, &versions);
        Ok(versions)
    }

    /// Tickets that are done or cancelled are not counted.
    fn count(&mut self, ticket: &Ticket, stage: Stage, by: i64) {
        if !matches!(stage, Stage::Done | Stage::Cancelled) {
            let sort = Sort {
                lane: ticket.lane.to_string(),
                class: ticket.class,
                merchant: ticket.merchant.to_string(),
                kind: ticket.kind.clone(),
            };
            *self.counts.entry((sort, stage)).or_default() += by;
        }
    }

    fn answered(&self, change: &ChangeRows) -> Option<&RequestRecord> {
        let id = &change.request.as_ref()?.request.id;
        self.requests.get(&change.merchant)?.get(id)
    }

    /// `earlier` are the records before this one in the same change.
    fn check_record(&self, record: &RecordRow, earlier: &[RecordRow]) -> Result<(), CommitError> {
        let before = earlier.iter().rev().find(|it| it.kind == record.kind && it.id == record.id);
        let stored = match before {
            Some(before) => Some(before.version),
            None => {
                self.records.get(&record.kind).and_then(|of_kind| of_kind.get(&record.id)).copied()
            }
        };
        let expected = match record.expected {
            Expected::New => None,
            Expected::Version(version) => Some(version),
        };
        if stored == expected {
            return Ok(());
        }
        Err(CommitError::Stale { kind: record.kind.name(), id: record.id.clone() })
    }

    /// The version that the ticket gets. `versions` are those of the `earlier` ones.
    fn check_ticket(
        &self,
        ticket: &TicketRow,
        earlier: &[TicketRow],
        versions: &[u64],
    ) -> Result<u64, CommitError> {
        let before =
            earlier.iter().zip(versions).rev().find(|(it, _)| it.ticket.id == ticket.ticket.id);
        let before = before.map(|(it, version)| Holding { version: *version, ..it.after() });
        let stored = before.or_else(|| self.tickets.get(&ticket.ticket.id).copied());
        let version = match (ticket.guard, stored) {
            (TicketGuard::New, None) => Some(ticket.ticket.version),
            (TicketGuard::Version(version), Some(stored)) => {
                (stored.version == version).then_some(ticket.ticket.version)
            }
            // The holder may have read it before its own last heartbeat.
            (TicketGuard::Held { attempt, token }, Some(stored)) => {
                let held = stored.stage == Stage::Leased
                    && stored.attempt == attempt
                    && stored.token == Some(token);
                held.then_some(stored.version + 1)
            }
            _ => None,
        };
        version.ok_or_else(|| CommitError::FenceLost { id: ticket.ticket.id.to_string() })
    }

    fn check_event(&self, event: &EventRow, earlier: &[EventRow]) -> Result<(), CommitError> {
        let taken = self.events.get(&event.stream).is_some_and(|it| it.contains(&event.sequence))
            || earlier.iter().any(|it| it.sequence == event.sequence && it.stream == event.stream);
        if !taken {
            return Ok(());
        }
        Err(CommitError::Stale { kind: "event", id: event.stream.clone() })
    }

    fn advance(&mut self, change: &ChangeRows, versions: &[u64]) {
        for record in &change.records {
            self.records.entry(record.kind).or_default().insert(record.id.clone(), record.version);
        }
        for (ticket, version) in change.tickets.iter().zip(versions) {
            let after = Holding { version: *version, ..ticket.after() };
            let before = self.tickets.insert(ticket.ticket.id, after);
            if let Some(before) = before {
                self.count(&ticket.ticket, before.stage, -1);
            }
            self.count(&ticket.ticket, after.stage, 1);
        }
        for event in &change.events {
            self.events.entry(event.stream.clone()).or_default().insert(event.sequence);
        }
        if let Some(row) = &change.request {
            let requests = self.requests.entry(change.merchant.clone()).or_default();
            requests.insert(row.request.id.clone(), row.request.clone());
        }
    }
}
