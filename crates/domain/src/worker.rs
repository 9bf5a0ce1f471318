//! Workers: who serves which lanes, what they work on now, and what operators want of them.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::ids::{Id, KeyId, MerchantId, TicketId, WorkerId, derive};
use crate::lane::Lane;
use crate::problem::{Code, Problem};
use crate::ticket::Ticket;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// The most tickets that a worker may be told to work on at once in a lane.
pub const CONCURRENCY_MAX: u16 = 256;
/// The most running tickets that a report lists; all of them are counted.
pub const LISTED_MAX: usize = 32;
/// The kind of ticket that makes a worker read what is wanted of it.
pub const HEED: &str = "worker.heed";
/// So long after its last report a worker counts as silent.
pub const SILENT_AFTER: TimeDelta = TimeDelta::minutes(3);
/// So long after its last report a worker is given up.
const LOST_AFTER: TimeDelta = TimeDelta::days(1);
/// So often a worker reports while it works, or when something changed.
const REPORT_BUSY: TimeDelta = TimeDelta::seconds(10);
/// So long after a report another with the same content is none.
const REPORT_AGAIN: TimeDelta = TimeDelta::seconds(3);
/// So often a worker reports otherwise: a little less than it waits for.
const REPORT_IDLE: TimeDelta = TimeDelta::seconds(59);
/// So long a command's ticket may wait for its worker. What is wanted stays in the record.
const HEED_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// A process that works on tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The id, new with each start.
    pub id: WorkerId,
    /// The machine's name; of a worker outside the name that it gives itself.
    pub host: String,
    /// The process's number on that machine; 0 of a worker outside.
    pub pid: u32,
    /// The version of Printmill; of a worker outside its own.
    pub version: String,
    /// Who speaks for it, when it is a worker outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// What it serves.
    pub lanes: Vec<WorkerLane>,
    /// Whether it is to take nothing new.
    pub draining: bool,
    /// Counts the changes of what is wanted, from 0.
    pub revision: u64,
    /// The revision that it last acted on.
    pub heeded: u64,
    /// What it works on, the longest running first; at most [`LISTED_MAX`].
    pub running: Vec<Running>,
    /// How many tickets it works on.
    pub running_count: u32,
    /// Whether it said that it left.
    pub gone: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last reported.
    pub seen_at: Timestamp,
}

/// What makes a worker one outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The key that it was announced with, which alone speaks for it.
    pub key: KeyId,
    /// The kinds of work that it does.
    pub kinds: Vec<String>,
}

/// What a worker outside says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The name that it gives itself.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
    /// What it serves.
    pub lanes: Vec<WorkerLane>,
    /// The kinds of work that it does.
    pub kinds: Vec<String>,
}

/// A lane that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLane {
    /// The lane.
    pub lane: Lane,
    /// How many tickets at once, as the worker was configured.
    pub configured: u16,
    /// How many at once operators want instead.
    pub wanted: Option<u16>,
    /// Whether it is to take nothing new from this lane.
    pub paused: bool,
}

impl WorkerLane {
    /// A lane as a worker was configured to serve it.
    pub fn new(lane: Lane, configured: u16) -> Self {
        Self { lane, configured, wanted: None, paused: false }
    }

    /// How many at once, unless it is paused.
    pub fn concurrency(&self) -> u16 {
        self.wanted.unwrap_or(self.configured)
    }
}

/// A ticket that a worker works on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Running {
    /// Since when.
    pub since: Timestamp,
    /// The ticket.
    pub ticket: TicketId,
    /// What is done.
    pub kind: String,
    /// Where it came from.
    pub lane: Lane,
}

/// What an operator wants changed; what is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steering {
    /// Whether the worker is to take nothing new.
    pub draining: Option<bool>,
    /// Changes of lanes.
    pub lanes: Vec<LaneSteering>,
}

/// What an operator wants changed in a lane; what is not given stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSteering {
    /// The lane.
    pub lane: Lane,
    /// Whether to take nothing new from it.
    pub paused: Option<bool>,
    /// How many tickets at once, up to [`CONCURRENCY_MAX`].
    pub concurrency: Option<u16>,
}

impl Worker {
    /// A worker that starts. Nothing is wanted of it but what it was configured for.
    pub fn begin(
        id: WorkerId,
        host: String,
        pid: u32,
        version: String,
        lanes: Vec<WorkerLane>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            host,
            pid,
            version,
            outside: None,
            lanes,
            draining: false,
            revision: 0,
            heeded: 0,
            running: vec![],
            running_count: 0,
            gone: false,
            started_at: now,
            seen_at: now,
        }
    }

    /// A worker outside that a key announces.
    pub fn announce(id: WorkerId, key: KeyId, said: Announcement, now: Timestamp) -> Self {
        let Announcement { name, version, lanes, kinds } = said;
        let outside = Some(Outside { key, kinds });
        Self { outside, ..Self::begin(id, name, 0, version, lanes, now) }
    }

    /// A worker outside is announced again. What is wanted of it stays, as far as it still serves
    /// those lanes.
    pub fn announce_again(&self, said: Announcement, now: Timestamp) -> Self {
        let Announcement { name, version, mut lanes, kinds } = said;
        for lane in &mut lanes {
            if let Some(known) = self.lanes.iter().find(|known| known.lane == lane.lane) {
                (lane.wanted, lane.paused) = (known.wanted, known.paused);
            }
        }
        let outside = self.outside.clone().map(|outside| Outside { kinds, ..outside });
        let (gone, seen_at) = (false, now);
        Self { host: name, version, lanes, outside, gone, seen_at, ..self.clone() }
    }

    /// A worker outside reports what it works on, and which revision of what is wanted it acts on.
    /// Where it has nothing new to say within three seconds, nothing changes.
    pub fn report_outside(&self, running: Vec<Running>, revision: u64, now: Timestamp) -> Self {
        let heeded = revision.clamp(self.heeded, self.revision);
        let next = Self { heeded, ..self.report(running, now) };
        let unchanged = Self { seen_at: self.seen_at, ..next.clone() } == *self;
        let soon = self.seen_at <= now && now - self.seen_at < REPORT_AGAIN;
        if unchanged && soon { self.clone() } else { next }
    }

    /// How many tickets of a lane may be in work at once; nothing for a lane that it does not
    /// serve.
    pub fn limit(&self, lane: &Lane) -> Option<u16> {
        let served = self.lanes.iter().find(|served| served.lane == *lane)?;
        let stopped = self.draining || served.paused;
        Some(if stopped { 0 } else { served.concurrency() })
    }

    /// Whether it has not reported for so long that it may be dead.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        !self.gone && now - self.seen_at > SILENT_AFTER
    }

    /// What is wanted, changed: with a ticket that makes the worker act at once. Nothing happens
    /// when nothing changes. The ticket is cancelled when the worker does not come for it; it
    /// acts when it next reports.
    pub fn steer(&self, wish: &Steering, now: Timestamp) -> Result<Decided<Self>, Problem> {
        if self.gone {
            return Err(Problem::invalid_state(
                format!("{} has left", self.id),
                "see `printmill workers list` for those that are there",
            ));
        }
        let mut next = self.clone();
        next.draining = wish.draining.unwrap_or(self.draining);
        for wish in &wish.lanes {
            let served = next.lanes.iter_mut().find(|served| served.lane == wish.lane);
            let Some(served) = served else {
                let served: Vec<_> = self.lanes.iter().map(|it| it.lane.as_str()).collect();
                let description = format!("must be a lane that it serves: {}", served.join(", "));
                return Err(Problem::invalid_field("lanes.lane", description));
            };
            if wish.concurrency.is_some_and(|wanted| wanted > CONCURRENCY_MAX) {
                let description = format!("must be 0 to {CONCURRENCY_MAX}");
                return Err(Problem::invalid_field("lanes.concurrency", description));
            }
            served.paused = wish.paused.unwrap_or(served.paused);
            served.wanted = wish.concurrency.or(served.wanted);
        }
        if next == *self {
            return Ok(Decided::quiet(next));
        }
        next.revision += 1;
        // A worker outside hears of it where it waits for commands, and has no lane of its own.
        let unheard = self.is_silent(now) || self.outside.is_some();
        let tickets = if unheard { vec![] } else { next.heed_tickets(now) };
        Ok(Decided { state: next, events: vec![], tickets })
    }

    /// The ticket that makes it act, and the one that takes it back when it does not come.
    fn heed_tickets(&self, now: Timestamp) -> Vec<Ticket> {
        let id: TicketId = derive(self.id.uuid(), HEED, u32::try_from(self.revision).unwrap_or(0));
        let payload = serde_json::json!({ "worker": self.id, "revision": self.revision });
        let lane = Lane::worker(&self.id);
        let heed = Ticket::new(id, MerchantId::PLATFORM, lane, HEED, payload, now);
        let why = Problem::new(
            Code::WorkCancelled,
            format!("{} did not come for it", self.id),
            "nothing needs to be done; the worker acts on it when it next reports",
        );
        let forget = Ticket::cancelling(id, MerchantId::PLATFORM, &why, now);
        vec![heed, forget.due(now + HEED_WITHIN)]
    }

    /// The worker reports what it works on, and has acted on what is wanted here.
    pub fn report(&self, mut running: Vec<Running>, now: Timestamp) -> Self {
        let running_count = u32::try_from(running.len()).unwrap_or(u32::MAX);
        running.sort();
        running.truncate(LISTED_MAX);
        let heeded = self.revision;
        Self { running, running_count, heeded, gone: false, seen_at: now, ..self.clone() }
    }

    /// Whether it works on nothing, and that is known.
    pub fn is_idle(&self, running: &[Running]) -> bool {
        running.is_empty() && self.running.is_empty()
    }

    /// Whether it is time for the next report, when it works on this.
    pub fn report_is_due(&self, running: &[Running], now: Timestamp) -> bool {
        let every = if self.is_idle(running) { REPORT_IDLE } else { REPORT_BUSY };
        let unknown = self.gone || self.heeded != self.revision;
        unknown || now < self.seen_at || now - self.seen_at >= every
    }

    /// Whether it has been silent for so long that it is given up.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        !self.gone && now - self.seen_at > LOST_AFTER
    }

    /// It is given up: whatever it worked on has gone to others.
    pub fn give_up(&self) -> Self {
        Self { gone: true, running: vec![], running_count: 0, ..self.clone() }
    }

    /// The worker has left.
    pub fn leave(&self, now: Timestamp) -> Self {
        Self { gone: true, ..self.report(vec![], now) }
    }
}

impl Aggregate for Worker {
    const KIND: Kind = Kind::Worker;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        if self.gone { GONE } else { HERE }
    }
    fn created_at(&self) -> Timestamp {
        self.started_at
    }
}

/// The state of workers that have not left.
pub const HERE: &str = "here";
/// The state of workers that left or were given up.
pub const GONE: &str = "gone";
