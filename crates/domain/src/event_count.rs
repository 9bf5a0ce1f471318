//! How many events of each kind a merchant had on a day: orders placed, paid, shipped.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::event::Event;
use crate::ids::MerchantId;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A merchant's events of a day, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount {
    /// Whose.
    pub merchant: MerchantId,
    /// The day, in UTC, on which they were decided.
    pub day: NaiveDate,
    /// How many, by kind.
    pub counts: BTreeMap<String, u64>,
    /// The `seq` of the last event counted; none is counted twice.
    pub through: u64,
    /// When the first was counted.
    pub created_at: Timestamp,
}

impl EventCount {
    /// Nothing yet.
    pub fn new(merchant: MerchantId, day: NaiveDate, now: Timestamp) -> Self {
        Self { merchant, day, counts: BTreeMap::new(), through: 0, created_at: now }
    }

    /// The id of a merchant's day. Ids of one merchant sort by day.
    pub fn id_of(merchant: MerchantId, day: NaiveDate) -> String {
        format!("{merchant}.{day}")
    }

    /// The id of an event's day.
    pub fn id_for(event: &Event) -> String {
        Self::id_of(event.merchant, event.at.date_naive())
    }

    /// Counts an event, which must come in the order of `seq`. One that was counted is not
    /// counted again.
    pub fn count(&mut self, event: &Event) {
        if event.seq > self.through {
            *self.counts.entry(event.draft.kind.clone()).or_default() += 1;
            self.through = event.seq;
        }
    }
}

impl Aggregate for EventCount {
    const KIND: Kind = Kind::EventCount;
    fn id(&self) -> String {
        Self::id_of(self.merchant, self.day)
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn state(&self) -> &'static str {
        "counted"
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
