//! The charge: asks the gateway once, and records its answer.

use async_trait::async_trait;
use printmill_backend::payment_gateway::Charge as GatewayCharge;
use printmill_backend::{Change, Database, PaymentGateway};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Versioned;
use printmill_domain::ids::{OrderId, PaymentId};
use printmill_domain::order::Order;
use printmill_domain::order_command::OrderCommand;
use printmill_domain::payment::{CHARGE, ChargeOutcome, GATEWAY_PATIENCE};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_engine::handler::{Failure, Handler, Work};
use serde_json::{Value, json};
use std::sync::Arc;

/// Charges payments.
pub struct Charge {
    database: Arc<dyn Database>,
    gateway: Arc<dyn PaymentGateway>,
}

impl Charge {
    /// Charges through a gateway.
    pub fn new(database: Arc<dyn Database>, gateway: Arc<dyn PaymentGateway>) -> Self {
        Self { database, gateway }
    }

    async fn order(&self, work: &Work) -> Result<Versioned<Order>, Failure> {
        work.load(self.database.as_ref(), work.id::<OrderId>("order")?).await
    }
}

#[async_trait]
impl Handler for Charge {
    fn kind(&self) -> &'static str {
        CHARGE
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy { patience: GATEWAY_PATIENCE, ..RetryPolicy::default() }
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let id: PaymentId = work.id("payment")?;
        let order = self.order(work).await?;
        let payment = order.payments.iter().find(|payment| payment.id == id);
        let payment =
            payment.ok_or_else(|| Failure::hopeless(Problem::not_found("payment", id)))?;
        let charge = GatewayCharge {
            payment: id,
            merchant: work.ticket.merchant,
            method: payment.method.clone(),
            amount: payment.amount,
        };
        let outcome = self.gateway.charge(&charge).await?;
        tracing::info!(payment = %id, gateway = self.gateway.name(), "gateway answered");
        Ok(json!(outcome))
    }

    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let payment: PaymentId = work.id("payment")?;
        let outcome: ChargeOutcome = serde_json::from_value(performed.clone()).map_err(|_| {
            Failure::passing(Problem::new(
                Code::Internal,
                "the gateway's answer could not be read",
                "nothing needs to be done; it is tried again",
            ))
        })?;
        let before = self.order(work).await?;
        let decided = before.decide(OrderCommand::RecordPayment { payment, outcome }, now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&before, decided))
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let before = self.order(work).await.map_err(|failure| failure.problem)?;
        let Some(item) = before.items.first().map(|item| item.id) else {
            return Ok(Change::new(work.ticket.merchant, now));
        };
        let command = OrderCommand::RaiseIssue { item, problem: problem.clone() };
        let decided = before.decide(command, now)?;
        Ok(Change::new(work.ticket.merchant, now).update(&before, decided))
    }
}
