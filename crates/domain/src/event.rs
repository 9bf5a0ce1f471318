//! Events: what happened, in the order of the thing that it happened to.

use crate::Timestamp;
use crate::ids::{self, EventId, Id, MerchantId, derive};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An event as a decision makes it.
///
/// A *stream* is the history of one asset, print, quote or order; everything about an order
/// (items, payments, print jobs, shipments) is in the order's stream. `sequence` counts from 1
/// in its stream without gaps; a commit that would break that is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDraft {
    /// The id of the asset, print, quote or order whose history this is.
    pub stream: String,
    /// The place in that history, from 1.
    pub sequence: u64,
    /// What happened, as `noun.participle`: `order.placed`, `print_job.shipped`.
    pub kind: String,
    /// The id of the very thing that it happened to: the item, payment, print job.
    pub subject: String,
    /// Details.
    pub data: Value,
}

/// An event in the log, where `seq` orders all events of all streams without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The place in the log, from 1. Gapless.
    pub seq: u64,
    /// The id, derived from stream and sequence: the same event has the same id everywhere.
    pub id: EventId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// What happened.
    #[serde(flatten)]
    pub draft: EventDraft,
    /// When it was decided.
    pub at: Timestamp,
    /// The W3C `traceparent` of what caused it, if known.
    pub trace: Option<String>,
}

/// The id of an event, from its stream and sequence.
pub fn event_id(stream_uuid: Uuid, sequence: u64) -> EventId {
    derive(stream_uuid, "event", u32::try_from(sequence).unwrap_or(u32::MAX))
}

/// The raw bits behind a stream's id, whatever its prefix.
pub fn stream_uuid(stream: &str) -> Option<Uuid> {
    let encoded = stream.split_once('_')?.1;
    EventId::parse(&format!("{}_{encoded}", EventId::PREFIX)).ok().map(|id| id.uuid())
}

/// One of several parts of all streams. Each stream is in exactly one part, so its events stay in
/// order however many readers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shard {
    index: u8,
    count: u8,
}

impl Shard {
    /// The most parts there can be.
    pub const COUNT_MAX: u8 = 32;
    /// Everything, in one part.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// The part `index`, from 0, of `count` parts; nothing when there is no such part.
    pub fn new(index: u8, count: u8) -> Option<Self> {
        (index < count && count <= Self::COUNT_MAX).then_some(Self { index, count })
    }

    /// Which part, from 0.
    pub fn index(self) -> u8 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> u8 {
        self.count
    }

    /// Whether it is everything.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// The last characters of the streams in it. They are random bits of the id, so the parts are
    /// about equal, and a database can compare them without a hash of its own.
    pub fn last_letters(self) -> impl Iterator<Item = char> {
        let letters = ids::ALPHABET.iter().enumerate();
        letters
            .filter(move |(slot, _)| slot % usize::from(self.count) == usize::from(self.index))
            .map(|(_, letter)| char::from(*letter))
    }

    /// Whether a stream is in it.
    pub fn holds(self, stream: &str) -> bool {
        stream.chars().last().is_some_and(|last| self.last_letters().any(|letter| letter == last))
    }
}

/// Writes events into one stream, numbering them.
#[derive(Debug)]
pub struct Stream<'a> {
    stream: String,
    sequence: &'a mut u64,
    events: Vec<EventDraft>,
}

impl<'a> Stream<'a> {
    /// Continues a stream after the last sequence number used, which it moves on.
    pub fn new(stream: impl std::fmt::Display, sequence: &'a mut u64) -> Self {
        Self { stream: stream.to_string(), sequence, events: Vec::new() }
    }

    /// Appends an event.
    pub fn push(&mut self, kind: &str, subject: impl std::fmt::Display, data: Value) {
        *self.sequence += 1;
        self.events.push(EventDraft {
            stream: self.stream.clone(),
            sequence: *self.sequence,
            kind: kind.into(),
            subject: subject.to_string(),
            data,
        });
    }

    /// The events appended.
    pub fn finish(self) -> Vec<EventDraft> {
        self.events
    }
}
