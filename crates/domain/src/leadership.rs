//! Leadership: which of several processes does a thing that one alone should do.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::ids::MerchantId;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// Who leads, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// What is led: `relay`.
    pub name: String,
    /// The process that leads.
    pub holder: String,
    /// Until when, unless renewed.
    pub until: Timestamp,
    /// When it was first taken.
    pub created_at: Timestamp,
}

impl Leadership {
    /// A leadership that nobody had before.
    pub fn new(name: &str, holder: &str, term: TimeDelta, now: Timestamp) -> Self {
        Self { name: name.into(), holder: holder.into(), until: now + term, created_at: now }
    }

    /// The leadership as `holder` takes or renews it; nothing while somebody else leads.
    pub fn take(&self, holder: &str, term: TimeDelta, now: Timestamp) -> Option<Self> {
        let free = self.holder == holder || self.until <= now;
        free.then(|| Self { holder: holder.into(), until: now + term, ..self.clone() })
    }

    /// The leadership as its holder gives it up; nothing if somebody else leads.
    pub fn resign(&self, holder: &str, now: Timestamp) -> Option<Self> {
        (self.holder == holder).then(|| Self { until: now, ..self.clone() })
    }
}

impl Aggregate for Leadership {
    const KIND: Kind = Kind::Leadership;
    fn id(&self) -> String {
        self.name.clone()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        "held"
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_until_its_term_ends_or_it_resigns() {
        let at = |seconds| Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let term = TimeDelta::seconds(3);
        let first = Leadership::new("relay", "a", term, at(0));
        assert_eq!(first.take("b", term, at(2)), None);
        let renewed = first.take("a", term, at(2)).unwrap();
        assert_eq!(renewed.until, at(5));
        assert_eq!(renewed.take("b", term, at(4)), None);
        assert_eq!(renewed.take("b", term, at(5)).unwrap().holder, "b");
        assert_eq!(renewed.resign("b", at(3)), None);
        let resigned = renewed.resign("a", at(3)).unwrap();
        assert!(resigned.take("b", term, at(3)).is_some());
    }
}
