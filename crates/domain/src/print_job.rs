//! Print jobs: an item's production at a facility.
//!
//! ```text
//! Preparing ─attach▶ Ready ─accept▶ Accepted ─▶ Printing ─▶ Shipped
//!                                       └──────────────────────▲
//! ```

use crate::Timestamp;
use crate::address::Recipient;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::asset::BlobRef;
use crate::ids::{FacilityId, Id, ItemId, MerchantId, OrderId, PrintJobId, TicketId, derive};
use crate::lane::{Class, Lane};
use crate::problem::Problem;
use crate::shipment::Tracking;
use crate::ticket::Ticket;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The kind of ticket that a facility leases.
pub const MAKE: &str = "print_job.make";

/// Where a print job is. It only moves down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrintJobState {
    /// The file is being made.
    Preparing,
    /// The file is there; the facility can take the job.
    Ready,
    /// The facility has taken it on and has the file.
    Accepted,
    /// It is on the press.
    Printing,
    /// The carrier has it.
    Shipped,
}

impl PrintJobState {
    /// All states, in the order of a job's life.
    pub const ALL: [PrintJobState; 5] = [
        PrintJobState::Preparing,
        PrintJobState::Ready,
        PrintJobState::Accepted,
        PrintJobState::Printing,
        PrintJobState::Shipped,
    ];

    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            PrintJobState::Preparing => "preparing",
            PrintJobState::Ready => "ready",
            PrintJobState::Accepted => "accepted",
            PrintJobState::Printing => "printing",
            PrintJobState::Shipped => "shipped",
        }
    }

    /// Whether the step is one of the machine's.
    pub fn may_become(self, next: PrintJobState) -> bool {
        use PrintJobState::{Accepted, Preparing, Printing, Ready, Shipped};
        matches!(
            (self, next),
            (Preparing, Ready)
                | (Ready, Accepted)
                | (Accepted, Printing | Shipped)
                | (Printing, Shipped)
        )
    }
}

/// An item's production at a facility: all that the facility needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrintJob {
    /// The id.
    pub id: PrintJobId,
    /// Whose order it is.
    pub merchant: MerchantId,
    /// The order.
    pub order: OrderId,
    /// The item.
    pub item: ItemId,
    /// Who makes it.
    pub facility: FacilityId,
    /// The product.
    pub sku: String,
    /// The number of pages.
    pub pages: u32,
    /// How many copies.
    pub quantity: u32,
    /// Where the parcel goes.
    pub recipient: Recipient,
    /// How urgent it is.
    #[serde(default)]
    pub class: Class,
    /// Where the job is.
    pub state: PrintJobState,
    /// The print-ready file.
    pub file: Option<BlobRef>,
    /// How to follow the parcel.
    pub tracking: Option<Tracking>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What can happen to a print job.
#[derive(Debug, Clone, PartialEq)]
pub enum PrintJobCommand {
    /// The print-ready file is there.
    Attach(BlobRef),
    /// The facility takes it on.
    Accept,
    /// It is on the press.
    StartPrinting,
    /// The carrier has it.
    Ship(Tracking),
}

impl PrintJob {
    /// The id of the print job of an item: there is one.
    pub fn id_for(item: ItemId) -> PrintJobId {
        derive(item.uuid(), "print job", 1)
    }

    /// The ticket that the facility leases.
    pub fn ticket_id(id: PrintJobId) -> TicketId {
        derive(id.uuid(), MAKE, 0)
    }

    /// Decides what a command does. Reports that come late or twice change nothing.
    pub fn decide(
        &self,
        command: PrintJobCommand,
        now: Timestamp,
    ) -> Result<Decided<PrintJob>, Problem> {
        let target = match &command {
            PrintJobCommand::Attach(_) => PrintJobState::Ready,
            PrintJobCommand::Accept => PrintJobState::Accepted,
            PrintJobCommand::StartPrinting => PrintJobState::Printing,
            PrintJobCommand::Ship(_) => PrintJobState::Shipped,
        };
        if self.state >= target {
            return Ok(Decided::quiet(self.clone()));
        }
        if !self.state.may_become(target) {
            return Err(Problem::invalid_state(
                format!("{} cannot be {} from {}", self.id, target.name(), self.state.name()),
                "report the steps in their order: accepted, printing, shipped",
            ));
        }
        let mut next = self.clone();
        next.state = target;
        let mut tickets = vec![];
        match command {
            PrintJobCommand::Attach(file) => {
                next.file = Some(file);
                let lane = Lane::facility(&self.facility);
                let payload = json!({ "order": self.order, "item": self.item, "job": self.id });
                let id = Self::ticket_id(self.id);
                let ticket = Ticket::new(id, self.merchant, lane, MAKE, payload, now);
                tickets.push(ticket.of_class(self.class));
            }
            PrintJobCommand::Ship(tracking) => {
                tracking.check("tracking")?;
                next.tracking = Some(tracking);
            }
            PrintJobCommand::Accept | PrintJobCommand::StartPrinting => {}
        }
        Ok(Decided { state: next, events: vec![], tickets })
    }
}

impl Aggregate for PrintJob {
    const KIND: Kind = Kind::PrintJob;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn facility(&self) -> Option<FacilityId> {
        Some(self.facility)
    }
    fn state(&self) -> &'static str {
        self.state.name()
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
