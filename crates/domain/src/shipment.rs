//! Shipments: parcels on their way.

use crate::Timestamp;
use crate::ids::{PrintJobId, ShipmentId};
use crate::problem::{Problem, Violation};
use serde::{Deserialize, Serialize};

/// Where a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentState {
    /// The carrier has it.
    Shipped,
    /// The recipient has it.
    Delivered,
}

impl ShipmentState {
    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            ShipmentState::Shipped => "shipped",
            ShipmentState::Delivered => "delivered",
        }
    }

    /// Moves on; never back. A late report of an earlier state changes nothing.
    pub fn advance(self, to: ShipmentState) -> ShipmentState {
        self.max(to)
    }
}

/// Who carries a parcel, and how to follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// The carrier's name.
    pub carrier: String,
    /// The carrier's number for the parcel.
    pub number: String,
    /// A page that shows where it is; may be empty.
    pub url: String,
}

impl Tracking {
    /// Checks lengths; `field` is where it stands in the request.
    pub fn check(&self, field: &str) -> Result<(), Problem> {
        let mut violations = vec![];
        for (name, text, max, required) in [
            ("carrier", &self.carrier, 60, true),
            ("number", &self.number, 60, true),
            ("url", &self.url, 500, false),
        ] {
            let fits = text.chars().count() <= max && !text.chars().any(char::is_control);
            if !fits || (required && text.is_empty()) {
                violations.push(Violation {
                    field: format!("{field}.{name}"),
                    description: format!("must be text of at most {max} characters"),
                });
            }
        }
        if !self.url.is_empty() && !self.url.starts_with("https://") {
            violations.push(Violation {
                field: format!("{field}.url"),
                description: "must begin with https://".into(),
            });
        }
        if violations.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(violations)) }
    }
}

/// A parcel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    /// The id.
    pub id: ShipmentId,
    /// The print job that is in it.
    pub print_job: PrintJobId,
    /// Where it is.
    pub state: ShipmentState,
    /// How to follow it.
    pub tracking: Tracking,
    /// When the carrier took it.
    pub shipped_at: Timestamp,
}
