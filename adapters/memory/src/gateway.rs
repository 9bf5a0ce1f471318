//! A payment gateway that takes no money: the method says how it answers.

use crate::locked;
use async_trait::async_trait;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::payment_gateway::{Charge, PaymentGateway};
use printmill_domain::ids::{Id, PaymentId};
use printmill_domain::money::Money;
use printmill_domain::payment::ChargeOutcome;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The method that pays.
pub const PAYS: &str = "sandbox";
/// The method that is declined.
pub const DECLINED: &str = "sandbox-declined";
/// The method for which the gateway does not answer.
pub const UNREACHABLE: &str = "sandbox-unreachable";

/// A gateway for trying things out.
///
/// The method `sandbox` pays, `sandbox-declined` is declined, `sandbox-unreachable` answers
/// nothing, and any other is declined. The answers follow from the charge alone, so they are the
/// same after a restart.
#[derive(Debug, Default)]
pub struct SandboxGateway {
    ledger: Mutex<BTreeMap<PaymentId, (Money, ChargeOutcome)>>,
}

impl SandboxGateway {
    /// A gateway with an empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was paid, by payment: one amount each, however often it was asked for.
    pub fn paid(&self) -> BTreeMap<PaymentId, Money> {
        let ledger = locked(&self.ledger);
        let paid = ledger.iter().filter(|(_, entry)| matches!(entry.1, ChargeOutcome::Paid { .. }));
        paid.map(|(payment, (amount, _))| (*payment, *amount)).collect()
    }
}

#[async_trait]
impl PaymentGateway for SandboxGateway {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, BackendError> {
        let mut ledger = locked(&self.ledger);
        if let Some((_, outcome)) = ledger.get(&charge.payment) {
            return Ok(outcome.clone());
        }
        let outcome = match charge.method.as_str() {
            PAYS => {
                let reference = format!("sandbox-{}", charge.payment.uuid().simple());
                ChargeOutcome::Paid { reference }
            }
            DECLINED => ChargeOutcome::Declined { reason: "the sandbox declines this".into() },
            UNREACHABLE => {
                let detail = "the method asks it not to answer";
                return Err(BackendError::new(Fault::Unavailable, "sandbox", "charge", detail));
            }
            _ => ChargeOutcome::Declined {
                reason: format!("the sandbox knows only {PAYS}, {DECLINED} and {UNREACHABLE}"),
            },
        };
        ledger.insert(charge.payment, (charge.amount, outcome.clone()));
        Ok(outcome)
    }
}
