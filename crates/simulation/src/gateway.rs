//! The payment gateway as a process sees it: slow, and failing before and after it charged.

use crate::history::What;
use crate::process::Process;
use async_trait::async_trait;
use printmill_backend::PaymentGateway;
use printmill_backend::error::BackendError;
use printmill_backend::payment_gateway::Charge;
use printmill_domain::payment::ChargeOutcome;
use std::sync::Arc;

/// A process's connection to the gateway.
pub(crate) struct SimulatedGateway(pub(crate) Arc<Process>);

#[async_trait]
impl PaymentGateway for SimulatedGateway {
    fn name(&self) -> &'static str {
        "simulation"
    }

    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, BackendError> {
        let site = &self.0.site;
        self.0.step().await;
        self.0.fails(site.weather.call, "charge", "before")?;
        let outcome = site.gateway.charge(charge).await?;
        let paid = matches!(outcome, ChargeOutcome::Paid { .. });
        self.0.record(What::Charged { payment: charge.payment, paid });
        self.0.fails(site.weather.call, "charge", "after")?;
        self.0.step().await;
        Ok(outcome)
    }
}
