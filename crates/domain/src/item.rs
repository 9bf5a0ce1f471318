//! Order items: one line of an order, from payment to the door.

use crate::asset::BlobRef;
use crate::ids::{ItemId, PrintJobId};
use crate::pricing::Line;
use crate::problem::Problem;
use crate::routing::Route;
use serde::{Deserialize, Serialize};

/// Where an item is. The order of the variants is the order of its life; it only moves down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// It waits for the order to be paid.
    AwaitingPayment,
    /// It is paid and waits for a facility to be chosen.
    Queued,
    /// A facility is chosen; the file is being made.
    Routed,
    /// The print-ready file is there.
    Rendered,
    /// The facility has taken it on.
    Accepted,
    /// It is on the press.
    Printing,
    /// The carrier has it.
    Shipped,
    /// The recipient has it.
    Delivered,
    /// It will not be made.
    Cancelled,
}

impl ItemState {
    /// All states, in the order of an item's life.
    pub const ALL: [ItemState; 9] = [
        ItemState::AwaitingPayment,
        ItemState::Queued,
        ItemState::Routed,
        ItemState::Rendered,
        ItemState::Accepted,
        ItemState::Printing,
        ItemState::Shipped,
        ItemState::Delivered,
        ItemState::Cancelled,
    ];

    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            ItemState::AwaitingPayment => "awaiting_payment",
            ItemState::Queued => "queued",
            ItemState::Routed => "routed",
            ItemState::Rendered => "rendered",
            ItemState::Accepted => "accepted",
            ItemState::Printing => "printing",
            ItemState::Shipped => "shipped",
            ItemState::Delivered => "delivered",
            ItemState::Cancelled => "cancelled",
        }
    }

    /// Whether the step is one of the machine's. Facilities may skip `Printing`, since not all
    /// report it.
    pub fn may_become(self, next: ItemState) -> bool {
        use ItemState::{
            Accepted, AwaitingPayment, Cancelled, Delivered, Printing, Queued, Rendered, Routed,
            Shipped,
        };
        matches!(
            (self, next),
            (AwaitingPayment, Queued | Cancelled)
                | (Queued, Routed)
                | (Routed, Rendered)
                | (Rendered, Accepted)
                | (Accepted, Printing | Shipped)
                | (Printing, Shipped)
                | (Shipped, Delivered)
        )
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The id.
    pub id: ItemId,
    /// What was ordered, at which price.
    pub line: Line,
    /// Where it is.
    pub state: ItemState,
    /// Which facility makes it, and why.
    pub route: Option<Route>,
    /// Its production.
    pub print_job: Option<PrintJobId>,
    /// The print-ready file.
    pub file: Option<BlobRef>,
    /// What a person must look at, while there is something.
    pub issue: Option<Problem>,
}
