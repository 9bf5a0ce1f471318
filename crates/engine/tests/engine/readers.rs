//! A consumer for tests: writes down what it was given, stream by stream, and fails when told to. In paused time.

use crate::site::{Running, Site, merchant};
use async_trait::async_trait;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, Clock, Database, DatabaseExt};
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::event::{EventDraft, stream_uuid};
use printmill_domain::ids::{Id, MerchantId, OrderId};
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::subscription::{Consumer, EventFilter};
use printmill_engine::sequencer::Sequencer;
use printmill_engine::subscription::{
    Consumers, Delivery, Failure, Subscriber, SubscriptionMetrics, Subscriptions,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// What the consumer of a test does with an event before it writes it down.
pub(crate) type Act = Arc<dyn Fn(&Delivery) -> Result<(), Failure> + Send + Sync>;

/// Writes each event down in a record of its stream: the sequences, in the order they came.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) shards: u8,
    pub(crate) filter: EventFilter,
    pub(crate) takes: Duration,
    pub(crate) act: Act,
    pub(crate) database: Arc<dyn Database>,
    pub(crate) seen: Arc<Mutex<Vec<Delivery>>>,
    /// At work now, and the most at the same time.
    pub(crate) busy: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Reader {
    pub(crate) fn new(database: &Arc<impl Database + 'static>) -> Self {
        Self {
            name: "reader",
            shards: 1,
            filter: EventFilter::default(),
            takes: Duration::ZERO,
            act: Arc::new(|_| Ok(())),
            database: database.clone(),
            seen: Arc::default(),
            busy: Arc::default(),
        }
    }

    pub(crate) fn acting(
        mut self,
        act: impl Fn(&Delivery) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        self.act = Arc::new(act);
        self
    }

    /// The keys of everything that it was given, tries included.
    pub(crate) fn keys(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|delivery| delivery.key.clone()).collect()
    }
}

/// A refusal of an event.
pub(crate) fn refused() -> Failure {
    Failure::Refused(problem())
}

pub(crate) fn problem() -> Problem {
    Problem::new(Code::Internal, "it cannot be", "look at it")
}

#[async_trait]
impl Subscriber for Reader {
    fn name(&self) -> &'static str {
        self.name
    }
    fn filter(&self) -> EventFilter {
        self.filter.clone()
    }
    fn shards(&self) -> u8 {
        self.shards
    }
    async fn effect(&self, batch: &[Delivery], mut change: Change) -> Result<Change, Failure> {
        let now = self.busy.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.busy.1.fetch_max(now, Ordering::SeqCst);
        self.seen.lock().expect("no panic").extend(batch.iter().cloned());
        tokio::time::sleep(self.takes).await;
        self.busy.0.fetch_sub(1, Ordering::SeqCst);
        let mut pages: BTreeMap<String, String> = BTreeMap::new();
        for delivery in batch {
            (self.act)(delivery)?;
            let draft = &delivery.event.draft;
            let line = pages.entry(draft.stream.clone()).or_default();
            line.push_str(&format!("{} ", draft.sequence));
        }
        for (stream, line) in pages {
            let id = MerchantId::from_uuid(stream_uuid(&stream).expect("a stream"));
            let scope = Scope::Merchant(MerchantId::PLATFORM);
            let before: Option<Versioned<Merchant>> =
                self.database.find(scope, &id.to_string()).await?;
            change = match before {
                Some(before) => {
                    let name = format!("{}{line}", before.name);
                    let after = Merchant { name, ..before.value.clone() };
                    change.update(&before, Decided::quiet(after))
                }
                None => {
                    let new = Merchant { id, name: line, created_at: change.at };
                    change.create(Decided::quiet(new))
                }
            };
        }
        Ok(change)
    }
}

pub(crate) fn stream(number: u128) -> String {
    OrderId::from_uuid(Uuid::from_u128(number)).to_string()
}

/// Commits an event.
pub(crate) async fn happen(site: &Site, number: u128, sequence: u64, kind: &str) {
    let mut change = Change::new(merchant(), site.now());
    let stream = stream(number);
    let subject = stream.clone();
    change.events =
        vec![EventDraft { stream, sequence, kind: kind.into(), subject, data: json!({}) }];
    site.database.commit(change).await.expect("memory");
}

/// Commits `count` events in each of some streams, by turns.
pub(crate) async fn happen_in(site: &Site, streams: std::ops::Range<u128>, count: u64) {
    for sequence in 1..=count {
        for number in streams.clone() {
            happen(site, number, sequence, "order.tested").await;
        }
    }
}

/// What was written down of a stream.
pub(crate) async fn written(site: &Site, number: u128) -> Vec<u64> {
    let id = MerchantId::from_uuid(Uuid::from_u128(number)).to_string();
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let found: Option<Versioned<Merchant>> = site.database.find(scope, &id).await.expect("memory");
    let text = found.map(|found| found.value.name).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

/// Waits, commit by commit, until so much of some streams is written down.
pub(crate) async fn until_written(site: &Site, streams: std::ops::Range<u128>, count: u64) {
    let mut commits = site.database.commits();
    let waiting = async {
        loop {
            commits.borrow_and_update();
            let mut missing = false;
            for number in streams.clone() {
                missing |= written(site, number).await.len() < count as usize;
            }
            if !missing {
                return;
            }
            commits.changed().await.expect("the database is there");
        }
    };
    let hour = Duration::from_secs(3_600);
    tokio::time::timeout(hour, waiting).await.expect("within an hour of test time");
    for number in streams {
        assert_eq!(written(site, number).await, (1..=count).collect::<Vec<_>>(), "{number}");
    }
}

pub(crate) fn start_sequencer(site: &Site) -> Running {
    let sequencer = Sequencer::new(site.database.clone());
    Running::start(|stop| sequencer.run(stop))
}

pub(crate) fn start(site: &Site, holder: &str, reader: &Reader) -> Running {
    start_through(site, site.database.clone(), holder, reader)
}

pub(crate) fn start_through(
    site: &Site,
    database: Arc<dyn Database>,
    holder: &str,
    reader: &Reader,
) -> Running {
    let metrics = SubscriptionMetrics::register(&prometheus::Registry::new()).expect("fresh names");
    let subscriptions =
        Subscriptions::new(database, site.clock.clone(), metrics, holder).with(reader.clone());
    Running::start(|stop| subscriptions.run(stop))
}

pub(crate) fn consumers(site: &Site) -> Consumers {
    let clock: Arc<dyn Clock> = site.clock.clone();
    Consumers::new(site.database.clone(), clock)
}

/// The stored consumer; there is one.
pub(crate) async fn stored(site: &Site) -> Consumer {
    let page = Page { before: None, limit: 10, state: None };
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let mut found = site.database.page::<Consumer>(scope, page).await.expect("memory");
    assert_eq!(found.len(), 1);
    found.remove(0).value
}
