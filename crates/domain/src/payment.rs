//! Payments: one attempt to pay an order.
//!
//! ```text
//! Pending ──▶ Paid
//!    └─────▶ Declined
//! ```

use crate::ids::PaymentId;
use crate::money::Money;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};

/// The kind of ticket that asks for a charge.
pub const CHARGE: &str = "payment.charge";

/// How long a charge waits for a gateway that is away: somebody waits for its answer.
pub const GATEWAY_PATIENCE: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

/// Where a payment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The gateway has not answered.
    Pending,
    /// The money is there.
    Paid,
    /// The gateway refused.
    Declined,
}

impl PaymentState {
    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            PaymentState::Pending => "pending",
            PaymentState::Paid => "paid",
            PaymentState::Declined => "declined",
        }
    }
}

/// What the gateway said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeOutcome {
    /// The money is there; the gateway calls it so.
    Paid {
        /// The gateway's own name of the charge.
        reference: String,
    },
    /// It was refused.
    Declined {
        /// The gateway's reason.
        reason: String,
    },
}

/// One attempt to pay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The id, which is also the gateway's idempotency key.
    pub id: PaymentId,
    /// The method, in the gateway's words: `sandbox`, `sandbox-declined`.
    pub method: String,
    /// How much.
    pub amount: Money,
    /// Where it is in its life.
    pub state: PaymentState,
    /// The gateway's own name of the charge.
    pub reference: Option<String>,
    /// Why it was refused.
    pub decline_reason: Option<String>,
}

impl Payment {
    /// The gateway answered. The same answer again changes nothing; another answer is refused.
    pub fn settle(&self, outcome: &ChargeOutcome) -> Result<Payment, Problem> {
        let mut next = self.clone();
        match outcome {
            ChargeOutcome::Paid { reference } => {
                next.state = PaymentState::Paid;
                next.reference = Some(reference.clone());
            }
            ChargeOutcome::Declined { reason } => {
                next.state = PaymentState::Declined;
                next.decline_reason = Some(reason.clone());
            }
        }
        if self.state == PaymentState::Pending || *self == next {
            return Ok(next);
        }
        Err(Problem::invalid_state(
            format!("{} is settled already", self.id),
            "nothing needs to be done",
        ))
    }
}
