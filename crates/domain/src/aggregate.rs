//! What every stored thing has in common, and what a decision about it returns.

use crate::Timestamp;
use crate::event::EventDraft;
use crate::ids::{FacilityId, MerchantId};
use crate::ticket::Ticket;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The kinds of stored things. A kind is a table in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A tenant.
    Merchant,
    /// An API key.
    ApiKey,
    /// An uploaded file.
    Asset,
    /// A design.
    Print,
    /// A priced offer.
    Quote,
    /// An order with its items, payments and shipments.
    Order,
    /// An item's production at a facility.
    PrintJob,
    /// A print facility.
    Facility,
    /// Which process does what one alone should do.
    Leadership,
    /// A reader of the event log, with its place in it.
    Consumer,
    /// How many events of each kind a merchant had on a day.
    EventCount,
    /// What makes tickets when their time comes.
    Schedule,
    /// A process that works on tickets.
    Worker,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 13] = [
        Kind::Merchant,
        Kind::ApiKey,
        Kind::Asset,
        Kind::Print,
        Kind::Quote,
        Kind::Order,
        Kind::PrintJob,
        Kind::Facility,
        Kind::Leadership,
        Kind::Consumer,
        Kind::EventCount,
        Kind::Schedule,
        Kind::Worker,
    ];

    /// The name, in the form used for tables and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Merchant => "merchant",
            Kind::ApiKey => "api_key",
            Kind::Asset => "asset",
            Kind::Print => "print",
            Kind::Quote => "quote",
            Kind::Order => "order",
            Kind::PrintJob => "print_job",
            Kind::Facility => "facility",
            Kind::Leadership => "leadership",
            Kind::Consumer => "consumer",
            Kind::EventCount => "event_count",
            Kind::Schedule => "schedule",
            Kind::Worker => "worker",
        }
    }
}

/// A thing that is stored whole, with a version that every change must expect.
pub trait Aggregate: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Which kind it is.
    const KIND: Kind;
    /// Its id, as text.
    fn id(&self) -> String;
    /// Whose it is.
    fn merchant(&self) -> MerchantId;
    /// The facility that may read it as well, if one may.
    fn facility(&self) -> Option<FacilityId> {
        None
    }
    /// The name of its state, for lists and filters.
    fn state(&self) -> &'static str;
    /// When it was made.
    fn created_at(&self) -> Timestamp;
}

/// An aggregate as it was read: with the version that a change to it must expect.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<A> {
    /// The version, 1 when it was created.
    pub version: u64,
    /// The thing itself.
    pub value: A,
}

impl<A> std::ops::Deref for Versioned<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.value
    }
}

/// What a decision returns: the new state, and what else must be committed with it.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Decided<A> {
    /// The new state.
    pub state: A,
    /// What happened, in order.
    pub events: Vec<EventDraft>,
    /// What must be done because of it.
    pub tickets: Vec<Ticket>,
}

impl<A> Decided<A> {
    /// A new state without events or tickets.
    pub fn quiet(state: A) -> Self {
        Self { state, events: Vec::new(), tickets: Vec::new() }
    }

    /// Whether anything happened at all; a repeated command often changes nothing.
    pub fn is_quiet(&self) -> bool {
        self.events.is_empty() && self.tickets.is_empty()
    }
}
