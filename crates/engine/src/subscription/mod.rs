//! Subscriptions: consumers of the event log, each with a durable cursor of its own.
//!
//! A [`Subscriber`] says what events bring about; the effect commits with the cursor, so each
//! event has its effect once. Each shard of each subscriber runs by itself: a slow one holds
//! nobody up. Several processes may run the same ones; a lease says who does.

mod batch;
mod metrics;
mod operate;
mod runner;

pub use metrics::SubscriptionMetrics;
pub use operate::{Consumers, From, expired};

use async_trait::async_trait;
use printmill_backend::{BackendError, Change, Clock, Database};
use printmill_domain::event::{Event, Shard};
use printmill_domain::problem::Problem;
use printmill_domain::subscription::EventFilter;
use runner::Runner;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often to look at least, also when no commit was told of.
const LOOK: Duration = Duration::from_secs(10);
/// After a commit, how long to wait for more of them before looking.
const GATHER: Duration = Duration::from_millis(20);

/// An event on its way to a subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Names this delivery for effects outside of the commit: the same event of the same run has
    /// the same key, however often it is tried.
    pub key: String,
}

/// Why events could not be applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Something that all events need is away. All of them wait, and none is to blame.
    Away(Problem),
    /// At least one of these events cannot be applied.
    Refused(Problem),
}

impl std::convert::From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        if error.retryable() { Failure::Away(error.into()) } else { Failure::Refused(error.into()) }
    }
}

/// What events bring about.
#[async_trait]
pub trait Subscriber: Send + Sync + 'static {
    /// Its name, which its cursors are stored under. Never change it.
    fn name(&self) -> &'static str;

    /// Which events it wants.
    fn filter(&self) -> EventFilter {
        EventFilter::default()
    }

    /// In how many parts the streams are split, each run by itself. Another number means other
    /// cursors, which begin anew.
    fn shards(&self) -> u8 {
        1
    }

    /// How long to wait for more events before a batch is begun.
    fn linger(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// Adds to a change what these events bring about: records and tickets. The change commits
    /// together with the cursor. It is called again when the commit fails, with fewer events when
    /// it refuses them, and never with a later event of a stream before an earlier one.
    ///
    /// What it does outside of the change may be done twice, unless it is done by `key`.
    async fn effect(&self, batch: &[Delivery], change: Change) -> Result<Change, Failure>;
}

/// Runs subscribers.
pub struct Subscriptions {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    metrics: SubscriptionMetrics,
    holder: String,
    subscribers: Vec<Arc<dyn Subscriber>>,
}

impl Subscriptions {
    /// No subscribers yet. `holder` names this process to people.
    pub fn new(
        database: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        metrics: SubscriptionMetrics,
        holder: impl Into<String>,
    ) -> Self {
        Self { database, clock, metrics, holder: holder.into(), subscribers: vec![] }
    }

    /// One more.
    pub fn with(mut self, subscriber: impl Subscriber) -> Self {
        self.subscribers.push(Arc::new(subscriber));
        self
    }

    /// Runs all of them until `shutdown`. What is being applied then is finished.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (heads, head) = watch::channel(0);
        let stop = CancellationToken::new();
        let mut runners = JoinSet::new();
        for subscriber in &self.subscribers {
            let count = subscriber.shards().clamp(1, Shard::COUNT_MAX);
            for shard in (0..count).filter_map(|index| Shard::new(index, count)) {
                let runner = Runner::new(
                    self.database.clone(),
                    self.clock.clone(),
                    self.metrics.clone(),
                    subscriber.clone(),
                    shard,
                    self.holder.clone(),
                );
                runners.spawn(runner.run(head.clone(), stop.clone()));
            }
        }
        let looking = look(&*self.database, &heads);
        tokio::pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = looking => {}
        }
        stop.cancel();
        while let Some(ended) = runners.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a consumer ended before it was told to");
            }
        }
    }
}

/// Looks where the log ends, once for all: after commits, and now and then. Says so after each
/// commit, since it may have been about a consumer.
async fn look(database: &dyn Database, heads: &watch::Sender<u64>) {
    let mut commits = database.commits();
    loop {
        commits.borrow_and_update();
        match database.head().await {
            Ok(head) => {
                heads.send_replace(head);
            }
            Err(error) => tracing::warn!(error = %error.chain(), "the log cannot be read"),
        }
        tokio::select! {
            biased;
            _ = commits.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
