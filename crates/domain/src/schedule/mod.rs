//! Schedules: tickets that are made when their time comes, each tick once.
//!
//! Every dispatcher may tick every schedule: the tick is a commit that expects the schedule's
//! version, and the id of its ticket is derived from the schedule and the time of the tick.

mod recurrence;
mod tick;

pub use recurrence::Recurrence;
pub use tick::{AT_ONCE_MAX, MADE_UP_MAX, ON_TIME};

use crate::Timestamp;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::event::Stream;
use crate::ids::{Id, MerchantId, ScheduleId, TicketId, derive};
use crate::lane::Lane;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Letters in a schedule's name.
const NAME_MAX: usize = 63;

/// What happens with ticks whose time passed while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedTicks {
    /// They are given up. A tick is missed when it is a minute late.
    Skip,
    /// The newest is made up for, the others are given up.
    Once,
    /// Each is made up for, up to the newest [`MADE_UP_MAX`].
    All,
}

impl MissedTicks {
    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            MissedTicks::Skip => "skip",
            MissedTicks::Once => "once",
            MissedTicks::All => "all",
        }
    }
}

/// What a tick makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TicketTemplate {
    /// Where the ticket queues.
    pub lane: Lane,
    /// What is to be done.
    pub kind: String,
    /// What the work needs. Each ticket's payload has three entries more: `schedule`, the id;
    /// `tick`, the time it is made for; `previous`, the time of the tick before, or when the
    /// schedule was made; when it is run out of turn, both are the time of that.
    pub payload: Map<String, Value>,
}

/// What somebody says of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// What people call it: 1 to 63 small letters, digits and `-`. It makes the id.
    pub name: String,
    /// When it ticks; see [`Recurrence`].
    pub cron: String,
    /// By which zone's clock.
    pub zone: String,
    /// What happens with missed ticks.
    pub missed: MissedTicks,
    /// What a tick makes.
    pub makes: TicketTemplate,
}

/// A schedule. It belongs to the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The id, derived from the name.
    pub id: ScheduleId,
    /// What people call it.
    pub name: String,
    /// When it ticks; see [`Recurrence`].
    pub cron: String,
    /// By which zone's clock, by its name in the IANA time zone database.
    pub zone: String,
    /// What happens with missed ticks.
    pub missed: MissedTicks,
    /// What a tick makes.
    pub makes: TicketTemplate,
    /// Whether it stands still.
    pub paused: bool,
    /// Whether it was deleted. Its record stays, so that another of its name goes on with its
    /// history, and makes none of its tickets again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The last tick that was done, if there was one.
    pub last_tick: Option<Timestamp>,
    /// The next tick; in the past when it is due.
    pub next_tick: Timestamp,
    /// Ticks before this may not have been done: they were missed, or before its time. If the
    /// clock turns out to have been ahead, those still to come are done after all.
    pub undone_before: Timestamp,
    /// What the clock showed when that was decided.
    pub planned_at: Timestamp,
    /// When it was made, changed, or went on last: none of its ticks is older.
    #[serde(default)]
    pub begins_at: Timestamp,
    /// How many times it was run out of turn.
    pub runs: u32,
    /// The last sequence number in its stream of events.
    pub sequence: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Schedule {
    /// The id of the schedule with a name.
    pub fn id_of(name: &str) -> ScheduleId {
        derive(MerchantId::PLATFORM.uuid(), &format!("schedule {name}"), 0)
    }

    /// Makes a schedule. Its first tick is the first after now.
    pub fn create(definition: Definition, now: Timestamp) -> Result<Decided<Self>, Problem> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let length = definition.name.len();
        if !(1..=NAME_MAX).contains(&length) || !definition.name.bytes().all(letter) {
            let wanted = format!("must be 1 to {NAME_MAX} small letters, digits and -");
            return Err(Problem::invalid_field("name", wanted));
        }
        let next_tick = first_after(&definition.cron, &definition.zone, now)?;
        let Definition { name, cron, zone, missed, makes } = definition;
        let schedule = Self {
            id: Self::id_of(&name),
            name,
            cron,
            zone,
            missed,
            makes,
            paused: false,
            deleted: false,
            last_tick: None,
            next_tick,
            undone_before: next_tick,
            planned_at: now,
            begins_at: now,
            runs: 0,
            sequence: 0,
            created_at: now,
        };
        Ok(schedule.telling("schedule.created", schedule.told_plan()))
    }

    /// Makes a schedule with the name of one that was deleted. Refused while that is there.
    pub fn create_again(
        &self,
        definition: Definition,
        now: Timestamp,
    ) -> Result<Decided<Self>, Problem> {
        if !self.deleted {
            return Err(Problem::invalid_state(
                format!("there is a schedule {} already", self.name),
                "use another name, or change that one",
            ));
        }
        let fresh = Self::create(definition, now)?.state;
        let next = Self { runs: self.runs, sequence: self.sequence, ..fresh };
        Ok(next.telling("schedule.created", next.told_plan()))
    }

    /// Deletes it: it ticks no more, and is not found any more.
    pub fn delete(&self) -> Decided<Self> {
        if self.deleted {
            return Decided::quiet(self.clone());
        }
        let next = Self { paused: true, deleted: true, ..self.clone() };
        next.telling("schedule.deleted", json!({}))
    }

    /// What its definition says now.
    pub fn definition(&self) -> Definition {
        let Self { name, cron, zone, missed, makes, .. } = self.clone();
        Definition { name, cron, zone, missed, makes }
    }

    /// Takes over what its definition says now. Where nothing is new, nothing happens.
    pub fn redefine(
        &self,
        definition: &Definition,
        now: Timestamp,
    ) -> Result<Decided<Self>, Problem> {
        let mut next = self.clone();
        next.cron.clone_from(&definition.cron);
        next.zone.clone_from(&definition.zone);
        next.missed = definition.missed;
        next.makes.clone_from(&definition.makes);
        if next == *self {
            return Ok(Decided::quiet(next));
        }
        next.plan_after(now)?;
        Ok(next.telling("schedule.changed", next.told_plan()))
    }

    /// Lets it stand still. Ticks that pass in the meantime are not missed.
    pub fn pause(&self) -> Decided<Self> {
        if self.paused {
            return Decided::quiet(self.clone());
        }
        let next = Self { paused: true, ..self.clone() };
        next.telling("schedule.paused", json!({}))
    }

    /// Lets it go on, with the first tick after now.
    pub fn resume(&self, now: Timestamp) -> Result<Decided<Self>, Problem> {
        if !self.paused {
            return Ok(Decided::quiet(self.clone()));
        }
        let mut next = Self { paused: false, ..self.clone() };
        next.plan_after(now)?;
        Ok(next.telling("schedule.resumed", next.told_plan()))
    }

    /// Runs it now, out of turn, paused or not. Its own ticks come as before.
    pub fn run(&self, now: Timestamp) -> Decided<Self> {
        let next = Self { runs: self.runs.saturating_add(1), ..self.clone() };
        let id: TicketId = derive(self.id.uuid(), "run", next.runs);
        let ticket = self.ticket(id, now, now, now);
        let mut decided = next.telling("schedule.run", json!({ "ticket": id }));
        decided.tickets.push(ticket);
        decided
    }

    /// When it ticks.
    fn recurrence(&self) -> Result<Recurrence, Problem> {
        Recurrence::parse(&self.cron, &self.zone)
    }

    fn plan_after(&mut self, now: Timestamp) -> Result<(), Problem> {
        self.plan(first_after(&self.cron, &self.zone, now)?, now);
        self.begins_at = now;
        Ok(())
    }

    fn plan(&mut self, first: Timestamp, now: Timestamp) {
        self.next_tick = first;
        self.undone_before = first;
        self.planned_at = now;
    }

    fn told_plan(&self) -> Value {
        json!({ "cron": self.cron, "zone": self.zone, "nextTick": self.next_tick })
    }

    fn previous(&self) -> Timestamp {
        self.last_tick.unwrap_or(self.created_at)
    }

    /// This state, with an event that tells how it came about.
    fn telling(&self, kind: &str, data: Value) -> Decided<Self> {
        self.telling_all(vec![(kind, data)])
    }

    fn telling_all(&self, told: Vec<(&str, Value)>) -> Decided<Self> {
        let mut state = self.clone();
        let mut stream = Stream::new(self.id, &mut state.sequence);
        for (kind, data) in told {
            stream.push(kind, self.id, data);
        }
        let events = stream.finish();
        Decided { state, events, tickets: vec![] }
    }
}

fn first_after(cron: &str, zone: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    Recurrence::parse(cron, zone)?.next_after(now).ok_or_else(|| {
        Problem::invalid_state("there is no next tick", "check the clock of the node")
    })
}

impl Aggregate for Schedule {
    const KIND: Kind = Kind::Schedule;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        MerchantId::PLATFORM
    }
    fn state(&self) -> &'static str {
        match self {
            Self { deleted: true, .. } => "deleted",
            Self { paused: true, .. } => "paused",
            _ => "active",
        }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
