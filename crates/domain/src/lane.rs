//! Lanes: named queues of tickets, and which kind of work goes to which.

use crate::ids::{FacilityId, WorkerId};
use serde::{Deserialize, Serialize};

/// The name of a lane. It is the name of a queue at the broker, too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(String);

impl Lane {
    /// Short work: charges, routes, inspections' decisions.
    pub fn express() -> Self {
        Self("express".into())
    }

    /// Looking into uploaded files.
    pub fn inspect() -> Self {
        Self("inspect".into())
    }

    /// Rendering print-ready files.
    pub fn render() -> Self {
        Self("render".into())
    }

    /// The print jobs of one facility.
    pub fn facility(facility: &FacilityId) -> Self {
        Self(format!("facility-{facility}"))
    }

    /// What one worker is told.
    pub fn worker(worker: &WorkerId) -> Self {
        Self(format!("worker-{worker}"))
    }

    /// The lanes that Printmill's own workers serve.
    pub fn internal() -> Vec<Self> {
        vec![Self::express(), Self::inspect(), Self::render()]
    }

    /// Whether it belongs to one facility or one worker.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("facility-") || self.0.starts_with("worker-")
    }

    /// A lane by name: 1 to 64 letters, digits, `-` and `_`, which all brokers accept.
    pub fn parse(name: &str) -> Option<Self> {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fits.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How urgent a ticket is among those of its lane. The more urgent go first, but one that has
/// waited long enough counts as more urgent than it is: see [`crate::fairness`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody waits for it, or paid for it to be quick.
    Urgent,
    /// As most work is.
    #[default]
    Standard,
    /// It may take as long as it takes.
    Bulk,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Class; 3] = [Class::Urgent, Class::Standard, Class::Bulk];

    /// Its place among them, from 0.
    pub fn rank(self) -> u8 {
        self as u8
    }

    /// The name that is stored.
    pub fn name(self) -> &'static str {
        match self {
            Class::Urgent => "urgent",
            Class::Standard => "standard",
            Class::Bulk => "bulk",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
