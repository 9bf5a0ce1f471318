//! One run: a site, its weather, and the judgement.

use crate::chance::Chance;
use crate::chaos;
use crate::ending::{Ending, unrest};
use crate::history::{Entry, What, digest};
use crate::merchant::Merchant;
use crate::model;
use crate::operator::Operator;
use crate::roles::{Role, keep_up};
use crate::site::{MERCHANTS_MAX, Site};
use crate::stock::Stock;
use printmill_backend::fresh;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long it may take until everything is settled once nothing goes wrong any more.
const REST_WITHIN: Duration = Duration::from_secs(60 * 60);

/// What is switched off, to see that the model finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Without {
    /// The database takes writes of tickets from holders whose lease is lost.
    Fence,
    /// Nobody sends again what the queue lost.
    Reconciler,
    /// The database forgets which requests were answered.
    RequestRecords,
    /// The database takes a tick also from who comes second, with a ticket of its own.
    TickGuards,
    /// Schedules give up the ticks that they should make up for.
    MissedTicks,
    /// A consumer's cursor moves although the rest of its commit failed.
    Atomicity,
    /// Relays know nothing of the limits.
    Limits,
    /// Workers do not act on what is wanted of them.
    Steering,
}

/// What came of a seed.
#[derive(Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What was wrong, one sentence each; nothing, if all is well.
    pub findings: Vec<String>,
    history: Vec<Entry>,
}

impl Run {
    /// Whether anything was wrong.
    pub fn fails(&self) -> bool {
        !self.findings.is_empty()
    }

    /// A number for the whole history: equal for equal histories.
    pub fn digest(&self) -> u64 {
        digest(&self.history)
    }

    /// The history, a line for everything that happened.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.history.iter().map(ToString::to_string)
    }
}

/// Runs a seed to its end on this thread.
///
/// # Errors
///
/// When the simulation itself cannot go on; what it finds is in the [`Run`].
pub fn simulate(seed: u64, without: Option<Without>) -> anyhow::Result<Run> {
    let chance = Chance::new(seed);
    let mut source = chance.fork();
    #[expect(clippy::disallowed_methods, reason = "this is the simulation")]
    let _drawn = fresh::drawn_from(move |bytes| source.fill(bytes));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let ending = runtime.block_on(live(chance, without))?;
    Ok(Run { seed, findings: model::judge(&ending), history: ending.history })
}

async fn live(chance: Chance, without: Option<Without>) -> anyhow::Result<Ending> {
    let site = Arc::new(Site::new(chance, without)?);
    let merchants = u32::try_from(site.chance.between(1..=u64::from(MERCHANTS_MAX)))?;
    let stock = Stock::put(&site, merchants).await?;
    site.begin();
    let mut world = JoinSet::new();
    let mut roles = vec![Role::Reader];
    for (role, most) in [(Role::Api, 2), (Role::Worker, 3), (Role::Dispatcher, 2)] {
        roles.extend((0..site.chance.between(1..=most)).map(|_| role.clone()));
    }
    roles.extend(stock.facilities.iter().map(|facility| Role::Facility(*facility)));
    for (role, number) in roles.into_iter().zip(1..) {
        world.spawn(keep_up(site.clone(), role, number));
    }
    let mut wishes = JoinSet::new();
    for number in 1..=site.chance.between(2..=7) {
        let Some((id, print)) = site.chance.pick(&stock.merchants).copied() else { break };
        let merchant = Merchant { site: site.clone(), id, print, name: format!("wish-{number}") };
        wishes.spawn(merchant.act());
    }
    world.spawn(Operator::new(&site, stock.chores.clone()).act());
    let chaos = tokio::spawn(chaos::rage(site.clone()));
    let done = async {
        tokio::time::sleep(site.weather.lasts).await;
        chaos.abort();
        site.calm_down();
        rest(&site, &stock, wishes).await
    };
    tokio::select! {
        biased;
        () = site.exhausted.notified() => {}
        rested = done => rested?,
    }
    drop(world);
    site.close();
    Ending::read(&site, &stock).await
}

/// Waits until everything is settled.
async fn rest(site: &Arc<Site>, stock: &Stock, mut wishes: JoinSet<()>) -> anyhow::Result<()> {
    let limit = site.elapsed() + REST_WITHIN;
    while site.elapsed() < limit {
        tokio::time::sleep(Duration::from_secs(5)).await;
        while let Some(ended) = wishes.try_join_next() {
            ended?;
        }
        if wishes.is_empty() && unrest(site, stock).await?.is_empty() {
            return Ok(());
        }
    }
    for going_on in unrest(site, stock).await? {
        site.record("weather", What::Wrong(format!("no rest within an hour: {going_on}")));
    }
    for _ in 0..wishes.len() {
        site.record("weather", What::Wrong("a merchant waits for an answer".into()));
    }
    Ok(())
}
