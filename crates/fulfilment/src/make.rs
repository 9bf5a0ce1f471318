//! What becomes of an order's item when the ticket of its print job ends without a print.

use async_trait::async_trait;
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::ids::{Id, ItemId};
use printmill_domain::order::Order;
use printmill_domain::order_command::OrderCommand;
use printmill_domain::print_job::MAKE;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::Ticket;
use printmill_engine::handler::{Failure, Handler, Work};
use serde_json::Value;
use std::sync::Arc;

/// Print jobs are made by facilities, which accept them; only the end of those that are not wanted
/// any more is decided here.
pub struct Make {
    database: Arc<dyn Database>,
}

impl Make {
    /// Print jobs of a database.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Handler for Make {
    fn kind(&self) -> &'static str {
        MAKE
    }

    async fn decide(&self, _: &Work, _: &Value, _: Timestamp) -> Result<Change, Failure> {
        Err(Failure::passing(Problem::new(
            Code::InvalidState,
            "a print job is made by a facility",
            "accept it with a facility's key",
        )))
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let change = Change::new(work.ticket.merchant, now);
        raise_issue(&*self.database, &work.ticket, problem, change).await
    }

    fn is_open(&self) -> bool {
        true
    }

    /// A facility that is away comes back.
    fn retry(&self) -> RetryPolicy {
        RetryPolicy { losses_max: u32::MAX, ..RetryPolicy::default() }
    }
}

/// Adds to a change that the item of a print job's ticket shows why it is not made.
pub(crate) async fn raise_issue(
    database: &dyn Database,
    ticket: &Ticket,
    problem: &Problem,
    change: Change,
) -> Result<Change, Problem> {
    let text = |name: &str| ticket.payload[name].as_str().unwrap_or_default().to_owned();
    let (order, item) = (text("order"), text("item"));
    let item = ItemId::parse(&item).map_err(|_| Problem::not_found("item", item))?;
    let scope = Scope::Merchant(ticket.merchant);
    let found = database.find::<Order>(scope, &order).await?;
    let found = found.ok_or_else(|| Problem::not_found("order", order))?;
    let command = OrderCommand::RaiseIssue { item, problem: problem.clone() };
    let raised = found.decide(command, change.at)?;
    Ok(change.update(&found, raised))
}
