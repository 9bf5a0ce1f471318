//! The ending: what is stored when a simulation is over, beside the history of how it came about.

use crate::history::{Entry, What};
use crate::schedules::{self, Planned};
use crate::site::Site;
use crate::stock::Stock;
use printmill_backend::database::{EventQuery, Page, Scope, TicketQuery};
use printmill_backend::{Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::event::{Event, Shard};
use printmill_domain::event_count::EventCount;
use printmill_domain::ids::{MerchantId, PaymentId};
use printmill_domain::limit::Limit;
use printmill_domain::money::Money;
use printmill_domain::order::Order;
use printmill_domain::print_job::{PrintJob, PrintJobState};
use printmill_domain::subscription::Consumer;
use printmill_domain::ticket::{Stage, Ticket, TicketState};
use printmill_domain::ticket_end::CANCEL;
use printmill_engine::event_counter::EventCounter;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// All that a model may look at.
pub(crate) struct Ending {
    pub(crate) history: Vec<Entry>,
    pub(crate) orders: Vec<Order>,
    pub(crate) jobs: Vec<PrintJob>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) log: Vec<Event>,
    /// What the gateway took, by payment.
    pub(crate) paid: BTreeMap<PaymentId, Money>,
    pub(crate) schedules: Vec<Planned>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) counts: Vec<EventCount>,
    /// The true time at the beginning and at the end.
    pub(crate) began: Timestamp,
    pub(crate) at: Timestamp,
    /// How far clocks were wrong at most.
    pub(crate) skew: chrono::TimeDelta,
}

const ALL: u32 = 1_000_000;

impl Ending {
    pub(crate) async fn read(site: &Site, stock: &Stock) -> anyhow::Result<Self> {
        let database = &site.database;
        let everything = || Page { before: None, limit: ALL, state: None };
        let (mut orders, mut jobs, mut tickets) = (vec![], vec![], vec![]);
        for (merchant, _) in &stock.merchants {
            let page = database.page::<Order>(Scope::Merchant(*merchant), everything()).await?;
            orders.extend(page.into_iter().map(|order| order.value));
        }
        for facility in &stock.facilities {
            let page = database.page::<PrintJob>(Scope::Facility(*facility), everything()).await?;
            jobs.extend(page.into_iter().map(|job| job.value));
        }
        for state in [
            TicketState::Queued,
            TicketState::Leased,
            TicketState::Done,
            TicketState::Dead,
            TicketState::Cancelled,
        ] {
            tickets.extend(database.find_tickets(TicketQuery::InState(state), ALL).await?);
        }
        let log = database.events(EventQuery { limit: ALL, ..EventQuery::default() }).await?;
        let mut counts = vec![];
        let merchants = stock.merchants.iter().map(|(merchant, _)| *merchant);
        for merchant in merchants.chain([MerchantId::PLATFORM]) {
            let scope = Scope::Merchant(merchant);
            let page = database.page::<EventCount>(scope, everything()).await?;
            counts.extend(page.into_iter().map(|count| count.value));
        }
        Ok(Self {
            history: site.history.take(),
            orders,
            jobs,
            tickets,
            log,
            paid: site.gateway.paid(),
            schedules: stock.schedules.clone(),
            limits: site.policy.limits.clone(),
            counts,
            began: site.now() - site.elapsed(),
            at: site.now(),
            skew: chrono::TimeDelta::milliseconds(i64::try_from(site.weather.skew_ms)?),
        })
    }
}

/// What still goes on: nothing when the site is at rest.
pub(crate) async fn unrest(site: &Site, stock: &Stock) -> anyhow::Result<Vec<String>> {
    let mut going_on = vec![];
    let (events, cursor) =
        (site.events.load(Ordering::Relaxed), site.cursor.load(Ordering::Relaxed));
    if cursor < events {
        going_on.push(format!("{cursor} of {events} events read"));
    }
    let counter = Consumer::id_of(EventCounter::NAME, Shard::WHOLE);
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let counted = site.database.find::<Consumer>(scope, &counter).await?;
    let counted = counted.map_or(0, |consumer| consumer.cursor);
    if counted < events {
        going_on.push(format!("{counted} of {events} events counted"));
    }
    going_on.extend(schedules::behind(site, &stock.schedules).await?);
    let counts = site.database.ticket_counts().await?;
    let ended = [Stage::Done, Stage::Dead, Stage::Cancelled];
    for open in counts.into_iter().filter(|count| !ended.contains(&count.stage)) {
        // What takes a command back when its worker does not come waits a minute for nothing.
        if open.stage == Stage::Delayed && open.of.kind == CANCEL {
            continue;
        }
        let (lane, kind) = (&open.of.lane, &open.of.kind);
        going_on.push(format!("{} of {kind} {} in {lane}", open.count, open.stage.name()));
    }
    for facility in &stock.facilities {
        for state in [PrintJobState::Accepted, PrintJobState::Printing] {
            let page = Page { before: None, limit: ALL, state: Some(state.name().into()) };
            let jobs = site.database.page::<PrintJob>(Scope::Facility(*facility), page).await?;
            going_on.extend(jobs.iter().map(|job| format!("{} is {}", job.id, state.name())));
        }
    }
    Ok(going_on)
}

impl Ending {
    /// The changes that took effect, in order.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (&Entry, &crate::history::Committed)> {
        self.history.iter().filter_map(|entry| match &entry.what {
            What::Committed(committed) => Some((entry, committed)),
            _ => None,
        })
    }
}
