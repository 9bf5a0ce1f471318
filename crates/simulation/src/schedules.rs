//! Schedules of a site: lines that tick each minute or few, some of them missed before anybody
//! looked, one for each way to treat missed ticks.

use crate::database::SimulatedDatabase;
use crate::process::Process;
use crate::run::Without;
use crate::site::Site;
use async_trait::async_trait;
use chrono::TimeDelta;
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::ids::{MerchantId, ScheduleId};
use printmill_domain::lane::Lane;
use printmill_domain::schedule::{Definition, MissedTicks, Schedule, TicketTemplate};
use printmill_engine::handler::{Failure, Handler, Work};
use serde_json::{Value, json};
use std::sync::Arc;

/// The kind of a tick's ticket.
pub(crate) const KIND: &str = "simulation.tick";

/// What was put up, as the model knows it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) id: ScheduleId,
    /// It ticks at each whole hour, and after so many minutes each.
    pub(crate) every_minutes: i64,
    pub(crate) missed: MissedTicks,
    /// The first tick comes after this.
    pub(crate) since: Timestamp,
}

/// Puts up one or two schedules, made a while ago.
pub(crate) async fn put(site: &Arc<Site>, process: &Arc<Process>) -> anyhow::Result<Vec<Planned>> {
    const WAYS: [MissedTicks; 3] = [MissedTicks::Skip, MissedTicks::Once, MissedTicks::All];
    let database = SimulatedDatabase(process.clone());
    let mut planned = vec![];
    for number in 1..=site.chance.between(1..=2) {
        let every_minutes = i64::try_from(site.chance.between(1..=3))?;
        let missed = WAYS[site.chance.index(WAYS.len())];
        // Now and then there is more than one commit makes up for.
        let most = if site.chance.strikes(20) { 150 * 60 } else { 5 * 60 };
        let since = site.now() - TimeDelta::seconds(i64::try_from(site.chance.between(0..=most))?);
        let gives_up = site.without == Some(Without::MissedTicks);
        let definition = Definition {
            name: format!("schedule-{number}"),
            cron: format!("*/{every_minutes} * * * *"),
            zone: "UTC".into(),
            missed: if gives_up { MissedTicks::Skip } else { missed },
            makes: TicketTemplate {
                lane: Lane::express(),
                kind: KIND.into(),
                payload: serde_json::Map::new(),
            },
        };
        let schedule = Schedule::create(definition, since)?;
        planned.push(Planned { id: schedule.state.id, every_minutes, missed, since });
        database.commit(Change::new(MerchantId::PLATFORM, since).create(schedule)).await?;
    }
    Ok(planned)
}

/// The schedules that are behind the true time.
pub(crate) async fn behind(site: &Site, planned: &[Planned]) -> anyhow::Result<Vec<String>> {
    let mut behind = vec![];
    for Planned { id, .. } in planned {
        let scope = Scope::Merchant(MerchantId::PLATFORM);
        let found = site.database.find::<Schedule>(scope, &id.to_string()).await?;
        if let Some(late) = found.filter(|schedule| schedule.next_tick <= site.now()) {
            behind.push(format!("{id} has not ticked at {}", late.next_tick));
        }
    }
    Ok(behind)
}

/// What is done at a tick: it takes its time.
pub(crate) struct Tick(pub(crate) Arc<Process>);

#[async_trait]
impl Handler for Tick {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn perform(&self, _: &Work) -> Result<Value, Failure> {
        self.0.step().await;
        Ok(json!({}))
    }

    async fn decide(&self, work: &Work, _: &Value, now: Timestamp) -> Result<Change, Failure> {
        Ok(Change::new(work.ticket.merchant, now))
    }
}
