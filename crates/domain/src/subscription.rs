//! Consumers of the event log: how far each has read, what it holds back, and who runs it.
//!
//! A consumer's cursor moves in the commit that has the effect of the events it passes, so each
//! event has its effect once. A stream with an event that cannot be applied is held back alone:
//! that event and all later ones of its stream wait, and the others go on.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Kind};
use crate::event::Shard;
use crate::ids::MerchantId;
use crate::problem::{Code, Problem};
use crate::ticket::RetryPolicy;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most streams that a consumer holds back. Beyond it the fault is hardly the events', and
/// the consumer waits instead.
pub const HELD_MAX: usize = 256;

/// Which events a consumer wants. Empty lists mean all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// Kinds of events, as in `order.placed`.
    pub kinds: Vec<String>,
    /// Prefixes of streams' ids, as in `ord`.
    pub stream_kinds: Vec<String>,
}

/// Who runs a consumer, and until when unless extended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerLease {
    /// A name that people read.
    pub holder: String,
    /// The number drawn when it was taken.
    pub token: u64,
    /// Until when nobody else may take it.
    pub until: Timestamp,
}

/// A stream that waits, since one of its events could not be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The `seq` of that event. It and all later ones of the stream have had no effect.
    pub from: u64,
    /// How often it failed.
    pub failures: u32,
    /// When it is tried again; nothing when it is parked until a person says so.
    pub due_at: Option<Timestamp>,
    /// Why it failed the last time.
    pub problem: Problem,
    /// Since when the stream waits.
    pub since: Timestamp,
}

/// A reader of one shard of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its name; shards of the same reader share it.
    pub name: String,
    /// Its part of the streams.
    pub shard: Shard,
    /// Which events it wants.
    pub filter: EventFilter,
    /// All wanted events up to this `seq` had their effect, but those of held streams.
    pub cursor: u64,
    /// Counts the replays, from 1: what belongs to an earlier run is not repeated by accident.
    pub run: u32,
    /// Streams that wait.
    pub held: BTreeMap<String, Held>,
    /// Who runs it.
    pub lease: Option<ConsumerLease>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Consumer {
    /// A consumer that begins after a place in the log.
    pub fn new(name: &str, shard: Shard, filter: EventFilter, cursor: u64, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            shard,
            filter,
            cursor,
            run: 1,
            held: BTreeMap::new(),
            lease: None,
            created_at: now,
        }
    }

    /// The id of a shard's consumer. Another number of shards is another consumer.
    pub fn id_of(name: &str, shard: Shard) -> String {
        format!("{name}.{}-of-{}", shard.index(), shard.count())
    }

    /// Whether a bearer of this token may run it now.
    pub fn holds(&self, token: u64, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.token == token && lease.until > now)
    }

    /// Takes it to run, with the filter that its code has now. Refused while another holds it.
    pub fn claim(
        &self,
        lease: ConsumerLease,
        filter: EventFilter,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let taken =
            self.lease.as_ref().is_some_and(|held| held.token != lease.token && held.until > now);
        if taken {
            return Err(lost(self));
        }
        Ok(Self { lease: Some(lease), filter, ..self.clone() })
    }

    /// The holder goes on.
    pub fn extend(&self, token: u64, until: Timestamp) -> Result<Self, Problem> {
        let mut next = self.held_by(token)?;
        if let Some(lease) = &mut next.lease {
            lease.until = lease.until.max(until);
        }
        Ok(next)
    }

    /// All wanted events up to `seq` had their effect or are held back.
    pub fn advance(&self, token: u64, seq: u64) -> Result<Self, Problem> {
        let mut next = self.held_by(token)?;
        next.cursor = next.cursor.max(seq);
        Ok(next)
    }

    /// Whether an event waits because its stream does.
    pub fn holds_back(&self, stream: &str, seq: u64) -> bool {
        self.held.get(stream).is_some_and(|held| held.from <= seq)
    }

    /// An event failed by itself: its stream waits, and is parked after the last try allowed.
    /// Refused when too many streams wait already.
    pub fn hold(
        &self,
        stream: &str,
        seq: u64,
        problem: Problem,
        policy: &RetryPolicy,
        jitter: u16,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let mut next = self.clone();
        let before = next.held.remove(stream).filter(|held| held.from == seq);
        if next.held.len() >= HELD_MAX {
            return Err(Problem::new(
                Code::Unavailable,
                format!("{HELD_MAX} streams wait already in {}", self.id()),
                "look for what they have in common, then resume them",
            ));
        }
        let failures = before.as_ref().map_or(0, |held| held.failures) + 1;
        let parked = failures >= policy.failures_max;
        let held = Held {
            from: seq,
            failures,
            due_at: (!parked).then(|| now + policy.backoff(failures, jitter)),
            problem,
            since: before.map_or(now, |held| held.since),
        };
        next.held.insert(stream.into(), held);
        Ok(next)
    }

    /// Events of a waiting stream up to `seq` had their effect; it waits no longer when those
    /// were all that the cursor has passed.
    pub fn recover(&self, stream: &str, seq: u64, all: bool) -> Self {
        let mut next = self.clone();
        if all {
            next.held.remove(stream);
        } else if let Some(held) = next.held.get_mut(stream) {
            held.from = seq + 1;
            held.failures = 0;
        }
        next
    }

    /// The waiting stream that is to be tried again first, and when.
    pub fn next_due(&self) -> Option<(&str, &Held, Timestamp)> {
        let due = self
            .held
            .iter()
            .filter_map(|(stream, held)| Some((stream.as_str(), held, held.due_at?)));
        due.min_by_key(|(_, _, due_at)| *due_at)
    }

    /// How many streams are parked.
    pub fn parked(&self) -> usize {
        self.held.values().filter(|held| held.due_at.is_none()).count()
    }

    /// A person says that a waiting stream is tried again now; `skip` gives its failing event up.
    pub fn resume(&self, stream: &str, skip: bool, now: Timestamp) -> Result<Self, Problem> {
        let mut next = self.clone();
        let held = next.held.get_mut(stream).ok_or_else(|| {
            Problem::not_found("waiting stream", format!("{stream} in {}", self.id()))
        })?;
        held.from += u64::from(skip);
        held.failures = 0;
        held.due_at = Some(now);
        Ok(next)
    }

    /// Events that it had not read are gone from the log: it goes on with the oldest kept.
    pub fn miss(&self, token: u64, oldest: u64) -> Result<Self, Problem> {
        self.advance(token, oldest.saturating_sub(1))
    }

    /// Begins anew after a place in the log. Who runs it now loses it, so that nothing of the
    /// present run is committed after this.
    pub fn replay(&self, cursor: u64) -> Self {
        let run = self.run.saturating_add(1);
        Self { cursor, run, held: BTreeMap::new(), lease: None, ..self.clone() }
    }

    fn held_by(&self, token: u64) -> Result<Self, Problem> {
        match &self.lease {
            Some(lease) if lease.token == token => Ok(self.clone()),
            _ => Err(lost(self)),
        }
    }
}

/// A lease that begins now.
pub fn lease(holder: &str, token: u64, lasts: TimeDelta, now: Timestamp) -> ConsumerLease {
    ConsumerLease { holder: holder.into(), token, until: now + lasts }
}

fn lost(consumer: &Consumer) -> Problem {
    Problem::new(
        Code::LeaseLost,
        format!("{} is run by another", consumer.id()),
        "stop; whoever runs it now goes on from its cursor",
    )
}

impl Aggregate for Consumer {
    const KIND: Kind = Kind::Consumer;
    fn id(&self) -> String {
        Self::id_of(&self.name, self.shard)
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        if self.parked() > 0 { "parked" } else { "active" }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
