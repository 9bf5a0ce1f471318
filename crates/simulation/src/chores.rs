//! Chores: work of no consequence, of which one merchant wants a lot at once and others a little,
//! and which may be cancelled.

use crate::database::SimulatedDatabase;
use crate::process::Process;
use crate::site::Site;
use async_trait::async_trait;
use printmill_backend::change::{TicketGuard, TicketWrite};
use printmill_backend::{Change, Database};
use printmill_domain::Timestamp;
use printmill_domain::ids::{Id, MerchantId, TicketId, derive};
use printmill_domain::lane::{Class, Lane};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::Ticket;
use printmill_engine::handler::{Failure, Handler, Work};
use serde_json::{Value, json};
use std::sync::Arc;

/// The kind of a chore's ticket.
pub(crate) const KIND: &str = "simulation.chore";

/// Asks for chores of these merchants, in one seed of four: the first merchant wants many at
/// once, the others a few in the course of the time.
pub(crate) async fn put(
    site: &Arc<Site>,
    process: &Arc<Process>,
    merchants: &[MerchantId],
) -> anyhow::Result<Vec<(MerchantId, TicketId)>> {
    let (database, mut put) = (SimulatedDatabase(process.clone()), vec![]);
    if !site.chance.strikes(250) {
        return Ok(put);
    }
    for (place, merchant) in merchants.iter().enumerate() {
        let many = if place == 0 { 5..=15 } else { 1..=3 };
        let now = site.now();
        for number in 0..site.chance.between(many) {
            let id = derive(merchant.uuid(), KIND, u32::try_from(number)?);
            let class = Class::ALL[site.chance.index(Class::ALL.len())];
            let ticket = Ticket::new(id, *merchant, Lane::inspect(), KIND, json!({}), now);
            let lasts = u64::try_from(site.weather.lasts.as_millis())?;
            let wait = if place == 0 { 0 } else { lasts / 2 };
            let due = now + site.chance.millis(0..=wait);
            let ticket = ticket.of_class(class).due(due);
            let mut change = Change::new(*merchant, now);
            change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
            database.commit(change).await?;
            put.push((*merchant, id));
        }
    }
    Ok(put)
}

/// Does chores: each takes its time.
pub(crate) struct Chore(pub(crate) Arc<Process>);

#[async_trait]
impl Handler for Chore {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let site = &self.0.site;
        for _ in 0..2 {
            tokio::time::sleep(site.chance.millis(0..=3_000)).await;
            self.0.step().await;
            if work.is_cancelled() {
                let problem = Problem::new(Code::WorkCancelled, "it was stopped", "ask again");
                return Err(Failure::passing(problem));
            }
        }
        Ok(json!({}))
    }

    async fn decide(&self, work: &Work, _: &Value, now: Timestamp) -> Result<Change, Failure> {
        Ok(Change::new(work.ticket.merchant, now))
    }
}
