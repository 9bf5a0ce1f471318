//! Applies a batch of events: whole when it works, else halved until the events at fault are
//! alone, whose streams then wait.

use super::runner::{Committed, Runner};
use super::{Delivery, Failure};
use crate::HEARTBEAT;
use futures::FutureExt;
use printmill_backend::{Change, fresh};
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::subscription::Consumer;
use printmill_domain::ticket::RetryPolicy;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// How often an event is tried that fails by itself, and the pauses in between.
const POISON: RetryPolicy = RetryPolicy {
    failures_max: 6,
    base: chrono::TimeDelta::seconds(1),
    ceiling: chrono::TimeDelta::seconds(60),
    // Nothing is leased here.
    losses_max: u32::MAX,
    patience: chrono::TimeDelta::zero(),
};
/// How long an effect may take. One that takes longer is refused.
const EFFECT_MAX: Duration = Duration::from_secs(60);
/// How often an effect is worked out again since a record in it moved.
const CONFLICTS_MAX: u32 = 8;

/// Events to apply, and the place that the cursor has after them.
pub(super) struct Part {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) through: u64,
}

/// Whose events are applied.
pub(super) enum Mode {
    /// All streams', after the cursor.
    Forward,
    /// Those of a stream that waits: the last one read, whether that is all there is, and how far
    /// the other streams are.
    Retry { stream: String, last: u64, all: bool, position: u64 },
}

/// What became of a part.
enum Outcome {
    Applied,
    Refused(Problem),
    Lost,
}

impl Runner {
    /// Applies events in the order of each stream. An error means that nothing is to blame but
    /// what all of them need.
    pub(super) async fn apply(&mut self, whole: Part, mode: &Mode) -> Result<(), Problem> {
        let mut parts = vec![whole];
        while let Some(Part { mut deliveries, through }) = parts.pop() {
            if let (Mode::Forward, Some(consumer)) = (mode, self.state()) {
                deliveries.retain(|it| !consumer.holds_back(&it.event.draft.stream, it.event.seq));
            }
            if deliveries.is_empty() {
                self.pass(through);
                continue;
            }
            match self.attempt(&deliveries, through, mode).await? {
                Outcome::Applied => {}
                Outcome::Lost => return Ok(()),
                Outcome::Refused(problem) => {
                    let failed = &self.metrics.failed;
                    failed.with_label_values(&[self.subscriber.name()]).inc();
                    if let [alone] = deliveries.as_slice() {
                        self.hold(alone, problem, through, mode).await?;
                        if matches!(mode, Mode::Retry { .. }) {
                            return Ok(());
                        }
                        continue;
                    }
                    let right = deliveries.split_off(deliveries.len() / 2);
                    let middle = deliveries.last().map_or(through, |delivery| delivery.event.seq);
                    parts.push(Part { deliveries: right, through });
                    parts.push(Part { deliveries, through: middle });
                }
            }
        }
        Ok(())
    }

    async fn attempt(
        &mut self,
        deliveries: &[Delivery],
        through: u64,
        mode: &Mode,
    ) -> Result<Outcome, Problem> {
        for _ in 0..CONFLICTS_MAX {
            let change = match self.effect(deliveries).await? {
                Some(Ok(change)) => change,
                Some(Err(Failure::Away(problem))) => return Err(problem),
                Some(Err(Failure::Refused(problem))) => return Ok(Outcome::Refused(problem)),
                None => return Ok(Outcome::Lost),
            };
            let Some(consumer) = self.state() else { return Ok(Outcome::Lost) };
            let next = after(consumer, through, mode, self.token)?;
            match self.commit(next, change).await {
                Ok(Committed::Yes) => {
                    let consumed = &self.metrics.consumed;
                    let count = consumed.with_label_values(&[self.subscriber.name()]);
                    count.inc_by(deliveries.len() as u64);
                    return Ok(Outcome::Applied);
                }
                Ok(Committed::Lost) => return Ok(Outcome::Lost),
                Ok(Committed::Conflict) => {}
                Ok(Committed::Fenced) => return Ok(Outcome::Refused(fenced())),
                // What the database refuses as such is the events' fault.
                Err(problem) if problem.code == Code::Internal => {
                    return Ok(Outcome::Refused(problem));
                }
                Err(problem) => return Err(problem),
            }
        }
        Err(Problem::new(
            Code::Conflict,
            "what the events change is being changed by others all the time",
            "it is tried again by itself",
        ))
    }

    /// Works out the effect while the lease is extended; nothing when the lease is lost.
    async fn effect(
        &mut self,
        deliveries: &[Delivery],
    ) -> Result<Option<Result<Change, Failure>>, Problem> {
        let subscriber = self.subscriber.clone();
        let change = Change::new(MerchantId::PLATFORM, self.clock.now());
        let effect = AssertUnwindSafe(subscriber.effect(deliveries, change)).catch_unwind();
        let effect = tokio::time::timeout(EFFECT_MAX, effect);
        tokio::pin!(effect);
        loop {
            tokio::select! {
                biased;
                done = &mut effect => {
                    return Ok(Some(match done {
                        Ok(Ok(result)) => result,
                        Ok(Err(_)) => Err(Failure::Refused(broken("it panicked"))),
                        Err(_) => Err(Failure::Refused(broken("it took too long"))),
                    }));
                }
                () = tokio::time::sleep(HEARTBEAT) => {
                    let Some(consumer) = self.state() else { return Ok(None) };
                    let same = consumer.value.clone();
                    let change = Change::new(MerchantId::PLATFORM, self.clock.now());
                    match self.commit(same, change).await? {
                        Committed::Yes => {}
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Makes the stream of an event wait, and lets the others pass it.
    async fn hold(
        &mut self,
        alone: &Delivery,
        problem: Problem,
        through: u64,
        mode: &Mode,
    ) -> Result<(), Problem> {
        let (stream, seq) = (&alone.event.draft.stream, alone.event.seq);
        let Some(consumer) = self.state() else { return Ok(()) };
        let (now, jitter) = (self.clock.now(), fresh::jitter());
        let mut next = consumer.hold(stream, seq, problem.clone(), &POISON, jitter, now)?;
        if matches!(mode, Mode::Forward) {
            next = next.advance(self.token, through)?;
        }
        let parked = next.held.get(stream).is_some_and(|held| held.due_at.is_none());
        if let Committed::Yes = self.commit(next, Change::new(MerchantId::PLATFORM, now)).await? {
            let consumer = self.subscriber.name();
            if parked {
                tracing::error!(consumer, %stream, seq, %problem, "a stream is parked");
            } else {
                tracing::warn!(consumer, %stream, seq, %problem, "a stream waits");
            }
        }
        Ok(())
    }
}

/// The consumer after events had their effect.
fn after(consumer: &Consumer, through: u64, mode: &Mode, token: u64) -> Result<Consumer, Problem> {
    match mode {
        Mode::Forward => consumer.advance(token, through),
        Mode::Retry { stream, last, all, position } => {
            let recovered = consumer.recover(stream, through, *all && through == *last);
            recovered.advance(token, *position)
        }
    }
}

fn fenced() -> Problem {
    Problem::new(
        Code::Conflict,
        "a ticket that the event asks for exists already",
        "derive its id from the delivery's key",
    )
}

fn broken(how: &str) -> Problem {
    Problem::new(
        Code::Internal,
        format!("the consumer failed: {how}"),
        "look for the reason in the log of the node; later events of the stream wait",
    )
}
