//! The payment gateway contract.

use crate::error::BackendError;
use async_trait::async_trait;
use printmill_domain::ids::{MerchantId, PaymentId};
use printmill_domain::money::Money;
use printmill_domain::payment::ChargeOutcome;

/// A charge to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// The payment, which is also the idempotency key.
    pub payment: PaymentId,
    /// Whose money it will be.
    pub merchant: MerchantId,
    /// The method, in the gateway's words.
    pub method: String,
    /// How much.
    pub amount: Money,
}

/// A provider of payments.
///
/// # Contract
///
/// - **Idempotency.** The same payment id charges once, however often it is asked, and every
///   answer is the same.
/// - **Errors.** `Err` means that the outcome is unknown: ask again with the same id. A refusal
///   is `Ok(Declined)`.
/// - **Who retries.** The caller.
#[async_trait]
pub trait PaymentGateway: Send + Sync {
    /// The name by which people know it: `sandbox`.
    fn name(&self) -> &'static str;

    /// Charges once.
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, BackendError>;
}
