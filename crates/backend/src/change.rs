//! The one way to change anything: a `Change`, committed whole or not at all.

use crate::error::BackendError;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Kind, Versioned};
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{FacilityId, MerchantId};
use printmill_domain::ticket::{Fence, Ticket};

/// An aggregate as it is stored: its document and the columns that reads need.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which kind: the table.
    pub kind: Kind,
    /// The id, unique within the kind.
    pub id: String,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The facility that may read it as well.
    pub facility: Option<FacilityId>,
    /// The version, from 1.
    pub version: u64,
    /// The name of its state.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When this version was committed.
    pub updated_at: Timestamp,
    /// The whole aggregate, as JSON.
    pub document: String,
}

impl Record {
    /// The stored form of an aggregate.
    pub fn of<A: Aggregate>(value: &A, version: u64, now: Timestamp) -> Self {
        let document = serde_json::to_string(value).unwrap_or_else(|error| {
            unreachable!("aggregates have string keys and no failing serializers: {error}")
        });
        Self {
            kind: A::KIND,
            id: value.id(),
            merchant: value.merchant(),
            facility: value.facility(),
            version,
            state: value.state().to_owned(),
            created_at: value.created_at(),
            updated_at: now,
            document,
        }
    }
}

/// Which version a write expects to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// None: it is new.
    New,
    /// This one.
    Version(u64),
}

/// A record and the version that it replaces.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordWrite {
    /// The new record.
    pub record: Record,
    /// What it replaces.
    pub expected: Expected,
}

/// What must hold for a ticket to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketGuard {
    /// It does not exist.
    New,
    /// It has this version.
    Version(u64),
    /// It is leased, by this attempt with this token, whatever its version.
    Held {
        /// The attempt.
        attempt: u32,
        /// The token.
        token: u64,
    },
}

/// A ticket and what must hold for it to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct TicketWrite {
    /// The new ticket.
    pub ticket: Ticket,
    /// What must hold.
    pub guard: TicketGuard,
}

/// What remembers that a request was answered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The client's id for the request, unique within the merchant.
    pub id: String,
    /// SHA-256 of the method and the content, in hexadecimal.
    pub fingerprint: String,
    /// The id of what the request made or changed; the answer is read from there.
    pub outcome: String,
    /// When it was answered.
    pub at: Timestamp,
}

/// Everything that one decision changes. All of it is committed, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose it is.
    pub merchant: MerchantId,
    /// When it was decided.
    pub at: Timestamp,
    /// The W3C `traceparent` of what caused it.
    pub trace: Option<String>,
    /// Aggregates to write.
    pub records: Vec<RecordWrite>,
    /// What happened.
    pub events: Vec<EventDraft>,
    /// Tickets to make or to move on.
    pub tickets: Vec<TicketWrite>,
    /// The request that this answers.
    pub request: Option<RequestRecord>,
}

impl Change {
    /// An empty change.
    pub fn new(merchant: MerchantId, at: Timestamp) -> Self {
        Self {
            merchant,
            at,
            trace: None,
            records: vec![],
            events: vec![],
            tickets: vec![],
            request: None,
        }
    }

    /// Adds something new, with its events and tickets.
    pub fn create<A: Aggregate>(mut self, decided: Decided<A>) -> Self {
        let record = Record::of(&decided.state, 1, self.at);
        self.records.push(RecordWrite { record, expected: Expected::New });
        self.effects(decided.events, decided.tickets)
    }

    /// Adds the next version of something, with its events and tickets. A decision that changed
    /// nothing adds nothing.
    pub fn update<A: Aggregate + PartialEq>(
        mut self,
        before: &Versioned<A>,
        decided: Decided<A>,
    ) -> Self {
        if before.value != decided.state {
            let record = Record::of(&decided.state, before.version + 1, self.at);
            let expected = Expected::Version(before.version);
            self.records.push(RecordWrite { record, expected });
        }
        self.effects(decided.events, decided.tickets)
    }

    /// Adds a move of a ticket that its holder makes: the fence.
    pub fn held(mut self, ticket: Ticket, fence: &Fence) -> Self {
        let guard = TicketGuard::Held { attempt: fence.attempt, token: fence.token };
        self.tickets.push(TicketWrite { ticket, guard });
        self
    }

    /// Adds a move of a ticket that expects a version.
    pub fn ticket(mut self, ticket: Ticket, version: u64) -> Self {
        self.tickets.push(TicketWrite { ticket, guard: TicketGuard::Version(version) });
        self
    }

    /// Sets the request that this answers.
    pub fn answering(mut self, request: Option<RequestRecord>) -> Self {
        self.request = request;
        self
    }

    /// Sets the trace, which is also given to new tickets.
    pub fn traced(mut self, trace: Option<String>) -> Self {
        for write in self.tickets.iter_mut().filter(|write| write.guard == TicketGuard::New) {
            write.ticket.trace.clone_from(&trace);
        }
        self.trace = trace;
        self
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.events.is_empty()
            && self.tickets.is_empty()
            && self.request.is_none()
    }

    fn effects(mut self, events: Vec<EventDraft>, tickets: Vec<Ticket>) -> Self {
        self.events.extend(events);
        self.tickets.extend(
            tickets.into_iter().map(|ticket| TicketWrite { ticket, guard: TicketGuard::New }),
        );
        self
    }
}

/// Why a change was not committed. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record or event is not where the change expects it to be. Read again, decide again.
    #[error("{kind} {id} changed since it was read")]
    Stale {
        /// The kind of record, or `event`.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// A ticket is not where the change expects it to be: the lease is lost, or it exists
    /// already. Do not try again.
    #[error("ticket {id} is not held any more")]
    FenceLost {
        /// The ticket.
        id: String,
    },
    /// The request was answered before. Compare the fingerprints.
    #[error("request {} was answered before", .0.id)]
    Answered(RequestRecord),
    /// The database failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
