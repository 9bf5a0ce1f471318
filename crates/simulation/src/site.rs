//! The site: what all processes of a simulation share, and what the weather does to it.

use crate::api::Api;
use crate::broker::Broker;
use crate::chance::{Chance, Weather};
use crate::history::{History, What};
use crate::locked;
use crate::policy;
use crate::process::Process;
use crate::run::Without;
use printmill_adapter_memory::{MemoryDatabase, SandboxGateway, memory_blobs};
use printmill_backend::Blobs;
use printmill_domain::Timestamp;
use printmill_domain::ids::{Id, MerchantId, derive};
use printmill_engine::metrics::Metrics;
use printmill_engine::relay::TurnPolicy;
use printmill_engine::subscription::SubscriptionMetrics;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many merchants there may be.
pub(crate) const MERCHANTS_MAX: u32 = 3;
/// More calls than any sound run makes: beyond, something goes round in circles.
const STEPS_MAX: u64 = 1_000_000;

/// What all processes share.
pub(crate) struct Site {
    pub(crate) chance: Chance,
    pub(crate) weather: Weather,
    pub(crate) policy: TurnPolicy,
    pub(crate) without: Option<Without>,
    pub(crate) history: History,
    pub(crate) database: MemoryDatabase,
    pub(crate) broker: Broker,
    pub(crate) gateway: SandboxGateway,
    pub(crate) blobs: Blobs,
    pub(crate) metrics: Metrics,
    pub(crate) consumers: SubscriptionMetrics,
    /// The processes that are up, and the api nodes among them.
    pub(crate) processes: Mutex<Vec<Arc<Process>>>,
    pub(crate) apis: Mutex<Vec<Arc<Api>>>,
    /// Who hears of commits, and of which process it is.
    pub(crate) listeners: Mutex<Vec<(String, watch::Sender<u64>)>>,
    /// How many events were committed, and how far the reader of the log is.
    pub(crate) events: AtomicU64,
    pub(crate) cursor: AtomicU64,
    pub(crate) exhausted: Notify,
    calm: AtomicBool,
    steps: AtomicU64,
    base: Timestamp,
    started: Instant,
}

impl Site {
    pub(crate) fn new(chance: Chance, without: Option<Without>) -> anyhow::Result<Self> {
        let weather = Weather::draw(&chance);
        let merchants: Vec<MerchantId> = (1..=MERCHANTS_MAX).map(merchant).collect();
        let policy = policy::draw(&chance, &merchants)?;
        Self::under(weather, policy, chance, without)
    }

    /// A site with this weather and this policy.
    pub(crate) fn under(
        weather: Weather,
        policy: TurnPolicy,
        chance: Chance,
        without: Option<Without>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            weather,
            policy,
            chance,
            without,
            history: History::default(),
            database: MemoryDatabase::new(),
            broker: Broker::default(),
            gateway: SandboxGateway::new(),
            blobs: memory_blobs(),
            metrics: Metrics::register(&prometheus::Registry::new())?,
            consumers: SubscriptionMetrics::register(&prometheus::Registry::new())?,
            processes: Mutex::default(),
            apis: Mutex::default(),
            listeners: Mutex::default(),
            events: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            exhausted: Notify::new(),
            calm: AtomicBool::new(true),
            steps: AtomicU64::new(0),
            // Noon on the first day of 2026.
            base: Timestamp::from_timestamp(1_767_268_800, 0).unwrap_or_default(),
            started: Instant::now(),
        })
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.base + self.started.elapsed();
        Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Whether a fault strikes now. None does when it is calm.
    pub(crate) fn strikes(&self, per_mille: u32) -> bool {
        !self.is_calm() && self.chance.strikes(per_mille)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// From here on things go wrong.
    pub(crate) fn begin(&self) {
        self.record("weather", What::Note(format!("{:?}", self.weather)));
        self.record("weather", What::Note(format!("{:?}", self.policy)));
        self.calm.store(false, Ordering::Relaxed);
    }

    /// No more faults; who stands still goes on.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.record("weather", What::Note("calms down".into()));
        for process in locked(&self.processes).iter() {
            process.wake();
        }
    }

    /// Lets go of the processes, which hold on to the site.
    pub(crate) fn close(&self) {
        locked(&self.processes).clear();
        locked(&self.apis).clear();
    }

    pub(crate) fn record(&self, who: &str, what: What) {
        self.history.add(self.started.elapsed(), who, what);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a call. Beyond the limit the run is ended: time may stand still by then.
    pub(crate) fn count_step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == STEPS_MAX {
            self.record("weather", What::Wrong(format!("{STEPS_MAX} calls and no end")));
            self.exhausted.notify_one();
        }
    }
}

/// The merchant of a number, from 1.
pub(crate) fn merchant(number: u32) -> MerchantId {
    derive(MerchantId::PLATFORM.uuid(), "merchant", number)
}
