//! A payment gateway, guarded.

use crate::backend::{Backend, Limits};
use crate::call::{Operation, Repeatable};
use crate::metrics::Metrics;
use async_trait::async_trait;
use printmill_backend::payment_gateway::Charge;
use printmill_backend::{BackendError, PaymentGateway};
use printmill_domain::payment::ChargeOutcome;
use std::sync::Arc;

const CHARGE: Operation = Operation::new(0, "charge", "charge a payment");

/// Guards a payment gateway. The payment's id makes charging twice the same as once, so that it is
/// repeated.
pub(crate) struct Guarded {
    inner: Arc<dyn PaymentGateway>,
    backend: Arc<Backend>,
}

impl Guarded {
    pub(crate) fn new(metrics: &Metrics, inner: Arc<dyn PaymentGateway>, limits: Limits) -> Self {
        let backend = Backend::new(metrics, "payments", inner.name(), limits, &[("calls", 1)]);
        Self { inner, backend }
    }
}

#[async_trait]
impl PaymentGateway for Guarded {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, BackendError> {
        self.backend.call(&CHARGE, Repeatable(|| self.inner.charge(charge))).await
    }
}
