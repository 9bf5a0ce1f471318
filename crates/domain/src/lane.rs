//! Lanes: named queues of tickets, and which kind of work goes to which.

use crate::ids::FacilityId;
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

    /// The lanes that Printmill's own workers serve.
    pub fn internal() -> Vec<Self> {
        vec![Self::express(), Self::inspect(), Self::render()]
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

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
