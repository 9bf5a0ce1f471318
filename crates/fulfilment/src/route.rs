//! The route: chooses a facility for each item of a paid order.

use async_trait::async_trait;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::address::served;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::catalogue::product;
use printmill_domain::facility::Facility;
use printmill_domain::ids::{ItemId, MerchantId, OrderId};
use printmill_domain::item::ItemState;
use printmill_domain::order::Order;
use printmill_domain::order_command::{OrderCommand, ROUTE};
use printmill_domain::print_job::{PrintJob, PrintJobState};
use printmill_domain::problem::Problem;
use printmill_domain::routing;
use printmill_engine::handler::{Failure, Handler, Work};
use serde_json::Value;
use std::sync::Arc;

/// Chooses facilities.
pub struct Route {
    database: Arc<dyn Database>,
}

impl Route {
    /// Routes orders of a database.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }

    async fn order(&self, work: &Work) -> Result<Versioned<Order>, Failure> {
        work.load(self.database.as_ref(), work.id::<OrderId>("order")?).await
    }

    async fn facilities(&self) -> Result<Vec<Facility>, Failure> {
        let scope = Scope::Merchant(MerchantId::PLATFORM);
        let page = Page { before: None, limit: 1_000, state: None };
        let found: Vec<Versioned<Facility>> = self.database.page(scope, page).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }
}

#[async_trait]
impl Handler for Route {
    fn kind(&self) -> &'static str {
        ROUTE
    }

    async fn decide(
        &self,
        work: &Work,
        _performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure> {
        let before = self.order(work).await?;
        let facilities = self.facilities().await?;
        let country = served(&before.recipient.country)?;
        let mut routes = vec![];
        for item in before.items.iter().filter(|item| item.state == ItemState::Queued) {
            let route = routing::route(product(&item.line.sku)?, country, &facilities)?;
            routes.push((item.id, route));
        }
        let jobs: Vec<PrintJob> =
            routes.iter().map(|(item, route)| job(&before, *item, route, now)).collect();
        let decided = before.decide(OrderCommand::Route { routes }, now)?;
        let change = Change::new(work.ticket.merchant, now).update(&before, decided);
        Ok(jobs.into_iter().fold(change, |change, job| change.create(Decided::quiet(job))))
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let before = self.order(work).await.map_err(|failure| failure.problem)?;
        let mut decided = Decided::quiet(before.value.clone());
        for item in before.items.iter().filter(|item| item.state == ItemState::Queued) {
            let command = OrderCommand::RaiseIssue { item: item.id, problem: problem.clone() };
            let raised = decided.state.decide(command, now)?;
            decided.state = raised.state;
            decided.events.extend(raised.events);
        }
        Ok(Change::new(work.ticket.merchant, now).update(&before, decided))
    }
}

fn job(order: &Order, item: ItemId, route: &routing::Route, now: Timestamp) -> PrintJob {
    let line = order.items.iter().find(|known| known.id == item).map(|known| &known.line);
    PrintJob {
        class: order.class,
        id: PrintJob::id_for(item),
        merchant: order.merchant,
        order: order.id,
        item,
        facility: route.facility,
        sku: line.map(|line| line.sku.clone()).unwrap_or_default(),
        pages: line.map(|line| line.pages).unwrap_or_default(),
        quantity: line.map(|line| line.quantity).unwrap_or_default(),
        recipient: order.recipient.clone(),
        state: PrintJobState::Preparing,
        file: None,
        tracking: None,
        created_at: now,
    }
}
