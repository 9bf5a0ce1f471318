//! Runs one shard of one subscriber: takes its lease, reads on from its cursor, tries again what
//! waits.

use super::batch::{Mode, Part};
use super::operate::platform;
use super::{Delivery, LOOK, Subscriber, SubscriptionMetrics};
use crate::LEASE;
use printmill_backend::database::EventQuery;
use printmill_backend::{Change, Clock, CommitError, Database, DatabaseExt, fresh};
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::event::{Event, Shard};
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::Problem;
use printmill_domain::subscription::{Consumer, lease};
use printmill_domain::ticket::RetryPolicy;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most events that are read and applied at once.
const BATCH: u32 = 256;
/// The most places of the log that one read passes by when events are compared one by one.
const SCAN: u64 = 10_000;
/// How often what is stored is read again at most, to see what a person changed.
const RELOAD: Duration = Duration::from_secs(5);
/// The shortest rest while another holds the lease.
const REST_MIN: Duration = Duration::from_millis(200);
/// A cursor that passes only events that are not wanted is stored after so many of them, or when
/// it is so old.
const UNSTORED_MAX: u64 = 1_000;
const UNSTORED_AGE: Duration = Duration::from_secs(600);
/// The pauses after something that all need was away.
const AWAY: RetryPolicy = RetryPolicy {
    failures_max: u32::MAX,
    base: chrono::TimeDelta::milliseconds(250),
    ceiling: chrono::TimeDelta::seconds(30),
    // Nothing is leased here.
    losses_max: u32::MAX,
    patience: chrono::TimeDelta::zero(),
};

/// What a turn came to.
pub(super) enum Turn {
    /// It went on; there may be more to do at once.
    Went,
    /// What is stored was read or taken over; now it can go on.
    Took,
    /// There is nothing to do for so long, unless the log grows.
    Rest(Duration),
}

/// What became of a commit.
pub(super) enum Committed {
    /// It is stored.
    Yes,
    /// Another record in it moved; the consumer is where it was.
    Conflict,
    /// A ticket in it exists already, or is not held.
    Fenced,
    /// The consumer itself moved: another runs it, or a person changed it.
    Lost,
}

/// One shard of one subscriber.
pub(super) struct Runner {
    pub(super) database: Arc<dyn Database>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: SubscriptionMetrics,
    pub(super) subscriber: Arc<dyn Subscriber>,
    shard: Shard,
    holder: String,
    pub(super) token: u64,
    /// What is stored, as far as known.
    state: Option<Versioned<Consumer>>,
    loaded: Instant,
    /// Whether something was committed since, which may have been about this consumer.
    stale: bool,
    /// Read so far; ahead of the stored cursor while nothing wanted was found.
    seen: u64,
    stored: Instant,
}

impl Runner {
    pub(super) fn new(
        database: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        metrics: SubscriptionMetrics,
        subscriber: Arc<dyn Subscriber>,
        shard: Shard,
        holder: String,
    ) -> Self {
        let (token, now) = (fresh::token(), Instant::now());
        Self {
            database,
            clock,
            metrics,
            subscriber,
            shard,
            holder,
            token,
            state: None,
            loaded: now,
            stale: false,
            seen: 0,
            stored: now,
        }
    }

    pub(super) async fn run(mut self, mut head: watch::Receiver<u64>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let end = *head.borrow_and_update();
            let pause = match self.turn(end).await {
                Ok(Turn::Went) => {
                    failures = 0;
                    continue;
                }
                Ok(Turn::Took) => continue,
                Ok(Turn::Rest(pause)) => {
                    failures = 0;
                    pause
                }
                Err(problem) => {
                    failures += 1;
                    let consumer = self.subscriber.name();
                    tracing::warn!(consumer, %problem, failures, "a consumer cannot go on just now");
                    self.state = None;
                    AWAY.backoff(failures, fresh::jitter()).to_std().unwrap_or(RELOAD)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                Ok(()) = head.changed(), if failures == 0 => {
                    self.stale = true;
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(self.subscriber.linger()) => {}
                    }
                }
            }
        }
        self.leave().await;
    }

    async fn turn(&mut self, end: u64) -> Result<Turn, Problem> {
        if self.state.is_none() || (self.stale && self.loaded.elapsed() >= RELOAD) {
            self.load().await?;
        }
        let Some(consumer) = self.state.clone() else { return Ok(Turn::Took) };
        let now = self.clock.now();
        let position = self.position(&consumer);
        let next = consumer.next_due();
        let due = next.filter(|(_, _, due_at)| *due_at <= now);
        self.report(&consumer, end.saturating_sub(position));
        if position >= end && due.is_none() {
            let next = next.and_then(|(_, _, due_at)| (due_at - now).to_std().ok());
            let look = if self.stale { RELOAD - self.loaded.elapsed().min(RELOAD) } else { LOOK };
            return Ok(Turn::Rest(next.unwrap_or(look).min(look)));
        }
        if !consumer.holds(self.token, now) {
            return self.take(&consumer).await;
        }
        match due {
            Some((stream, held, _)) => {
                self.retry(stream.to_owned(), held.from, position).await?;
            }
            None => self.forward(&consumer, position, end).await?,
        }
        Ok(Turn::Went)
    }

    /// Reads what is stored, or stores a consumer that begins with the oldest event; whether
    /// something changed.
    async fn load(&mut self) -> Result<bool, Problem> {
        let id = Consumer::id_of(self.subscriber.name(), self.shard);
        let found = self.database.find::<Consumer>(platform(), &id).await?;
        let changed = found.as_ref().map(|it| it.version) != self.version();
        if changed {
            self.seen = 0;
        }
        (self.loaded, self.stale) = (Instant::now(), false);
        self.state = found;
        if self.state.is_none() {
            let (name, now) = (self.subscriber.name(), self.clock.now());
            let cursor = self.database.oldest().await? - 1;
            let filter = self.subscriber.filter();
            let new = Consumer::new(name, self.shard, filter, cursor, now);
            let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(new));
            // When another made it in the meantime, that one is read the next time.
            if let Err(CommitError::Backend(error)) = self.database.commit(change).await {
                return Err(error.into());
            }
        }
        Ok(changed)
    }

    /// Takes the lease, unless another holds it or has moved on in the meantime.
    async fn take(&mut self, known: &Versioned<Consumer>) -> Result<Turn, Problem> {
        if self.load().await? {
            return Ok(Turn::Took);
        }
        let now = self.clock.now();
        let taken = lease(&self.holder, self.token, self.lasts(), now);
        let Ok(next) = known.claim(taken, self.subscriber.filter(), now) else {
            let until = known.lease.as_ref().map(|lease| lease.until - now);
            let until = until.and_then(|until| until.to_std().ok()).unwrap_or(REST_MIN);
            return Ok(Turn::Rest(until.clamp(REST_MIN, LEASE)));
        };
        self.commit(next, Change::new(MerchantId::PLATFORM, now)).await?;
        let oldest = self.database.oldest().await?;
        if let Some(consumer) = self.state.clone().filter(|it| it.cursor + 1 < oldest) {
            let (name, cursor) = (self.subscriber.name(), consumer.cursor);
            tracing::error!(consumer = name, cursor, oldest, "events were dropped unread");
            let change = Change::new(MerchantId::PLATFORM, now);
            self.commit(consumer.miss(self.token, oldest)?, change).await?;
        }
        Ok(Turn::Took)
    }

    async fn forward(
        &mut self,
        consumer: &Consumer,
        position: u64,
        end: u64,
    ) -> Result<(), Problem> {
        let filter = &consumer.filter;
        let compares = !self.shard.is_whole() || !filter.stream_kinds.is_empty();
        let until = if compares { end.min(position + SCAN) } else { end };
        let query = EventQuery { after: position, until: Some(until), ..self.wanted(consumer) };
        let events = self.database.events(query).await?;
        let through = match events.last() {
            Some(last) if events.len() >= BATCH as usize => last.seq,
            _ => until,
        };
        let ready = events.into_iter();
        let ready = ready.filter(|event| !consumer.holds_back(&event.draft.stream, event.seq));
        let ready: Vec<Delivery> = ready.map(|event| delivery(consumer, event)).collect();
        if !ready.is_empty() {
            return self.apply(Part { deliveries: ready, through }, &Mode::Forward).await;
        }
        self.seen = through;
        if through - consumer.cursor >= UNSTORED_MAX || self.stored.elapsed() >= UNSTORED_AGE {
            self.store_cursor().await?;
        }
        Ok(())
    }

    /// Tries a stream that waits again, up to where the others are.
    async fn retry(&mut self, stream: String, from: u64, position: u64) -> Result<(), Problem> {
        let Some(consumer) = self.state.clone() else { return Ok(()) };
        let query = EventQuery {
            after: from.saturating_sub(1),
            until: Some(position),
            stream: Some(stream.clone()),
            ..self.wanted(&consumer)
        };
        let events = self.database.events(query).await?;
        let all = events.len() < BATCH as usize;
        let deliveries: Vec<_> =
            events.into_iter().map(|event| delivery(&consumer, event)).collect();
        if deliveries.is_empty() {
            let next = consumer.recover(&stream, position, true);
            self.commit(next, Change::new(MerchantId::PLATFORM, self.clock.now())).await?;
            return Ok(());
        }
        let last = deliveries.last().map_or(position, |delivery| delivery.event.seq);
        let mode = Mode::Retry { stream, last, all, position };
        self.apply(Part { deliveries, through: last }, &mode).await
    }

    fn wanted(&self, consumer: &Consumer) -> EventQuery {
        EventQuery {
            limit: BATCH,
            kinds: consumer.filter.kinds.clone(),
            stream_kinds: consumer.filter.stream_kinds.clone(),
            shard: Some(self.shard),
            ..EventQuery::default()
        }
    }

    async fn store_cursor(&mut self) -> Result<(), Problem> {
        let Some(consumer) = self.state.clone() else { return Ok(()) };
        let next = consumer.advance(self.token, self.position(&consumer))?;
        self.commit(next, Change::new(MerchantId::PLATFORM, self.clock.now())).await?;
        Ok(())
    }

    /// Commits a change together with the consumer's next state, whose lease is extended.
    pub(super) async fn commit(
        &mut self,
        next: Consumer,
        change: Change,
    ) -> Result<Committed, Problem> {
        let Some(before) = self.state.clone() else { return Ok(Committed::Lost) };
        let next = next.extend(self.token, self.clock.now() + self.lasts())?;
        let change = change.update(&before, Decided::quiet(next.clone()));
        let refused = match self.database.commit(change).await {
            Ok(()) => {
                let moved = before.value != next;
                let version = before.version + u64::from(moved);
                self.seen = self.seen.max(next.cursor);
                self.state = Some(Versioned { version, value: next });
                self.stored = Instant::now();
                return Ok(Committed::Yes);
            }
            Err(CommitError::Backend(error)) => return Err(error.into()),
            Err(CommitError::FenceLost { .. }) => Committed::Fenced,
            Err(_) => Committed::Conflict,
        };
        let moved = self.load().await?;
        Ok(if moved { Committed::Lost } else { refused })
    }

    /// Stores how far it is, and lets another take it at once.
    async fn leave(&mut self) {
        let now = self.clock.now();
        let Some(before) = self.state.clone().filter(|it| it.holds(self.token, now)) else {
            return;
        };
        let Ok(mut next) = before.advance(self.token, self.position(&before)) else { return };
        next.lease = None;
        let change = Change::new(MerchantId::PLATFORM, now).update(&before, Decided::quiet(next));
        if let Err(error) = self.database.commit(change).await {
            let consumer = before.id();
            tracing::info!(consumer, %error, "a consumer's lease was left to run out");
        }
    }

    pub(super) fn state(&self) -> Option<&Versioned<Consumer>> {
        self.state.as_ref()
    }

    pub(super) fn pass(&mut self, through: u64) {
        self.seen = self.seen.max(through);
    }

    pub(super) fn position(&self, consumer: &Consumer) -> u64 {
        self.seen.max(consumer.cursor)
    }

    pub(super) fn lasts(&self) -> chrono::TimeDelta {
        chrono::TimeDelta::from_std(LEASE).unwrap_or_default()
    }

    fn version(&self) -> Option<u64> {
        self.state.as_ref().map(|state| state.version)
    }

    fn report(&self, consumer: &Consumer, lag: u64) {
        let shard = self.shard.index().to_string();
        let labels = [consumer.name.as_str(), shard.as_str()];
        self.metrics.lag.with_label_values(&labels).set(i64::try_from(lag).unwrap_or(i64::MAX));
        let parked = i64::try_from(consumer.parked()).unwrap_or(i64::MAX);
        self.metrics.parked.with_label_values(&labels).set(parked);
    }
}

fn delivery(consumer: &Consumer, event: Event) -> Delivery {
    let key = format!("{}/{}/{}", consumer.name, consumer.run, event.seq);
    Delivery { event, key }
}
