//! How many workers a lane needs: as few as start each ticket within the target wait.
//!
//! The policy looks every few seconds. It adds workers when those that are there, or booting, will
//! not have begun all that is ready by the time it should have begun; and gives up those that had
//! nothing to do for as long as starting them again would cost. A worker that works is never
//! stopped. Pure: what it must remember from one look to the next goes in and comes out.

mod memory;
mod replicas;
mod service_time;

pub use memory::Memory;
pub use replicas::{Backlog, Replicas};
pub use service_time::{Guess, ServiceTime, ServiceTimes};

use crate::Timestamp;
use std::time::Duration;

/// The part of the target wait that the policy aims at. The rest is for what it cannot see: what
/// happens between two looks.
const AIM: f64 = 0.9;
/// How sure it must be that the workers that are there begin the work in time, in standard
/// deviations: while there is time to look again, when there is not, and where a new worker comes
/// too late in any case.
const MARGIN: f64 = 1.0;
const LAST_MARGIN: f64 = 3.0;
const HOPELESS_MARGIN: f64 = 2.0;
/// When it is too late to look again: so many seconds, two looks, more than a boot.
const LAST_LOOKS: f64 = 10.0;
/// A worker that comes too late for what is ready has at least so much to do, in boots.
const WORTH_A_BOOT: f64 = 2.0;
/// How long an idle worker is kept, in boots, and at least, in seconds.
const PATIENCE: (f64, f64) = (1.0 / 3.0, 10.0);
/// What a warm floor has above the mean load, in square roots of it.
const FLOOR_MARGIN: f64 = 0.5;
/// The part of a growth that is believed to go on.
const GROWTH_GOES_ON: f64 = 0.6;
/// Into how many parts what is ready is divided by age.
const PARTS: u32 = 8;

/// What is wanted of the workers of a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A ticket should begin within this time.
    pub target_wait: Duration,
    /// From asking for a worker to its first ticket.
    pub boot: Duration,
    /// Workers that are always kept.
    pub workers_min: u32,
    /// Workers that there may be, draining ones included.
    pub workers_max: u32,
    /// Tickets that one worker works on at the same time; 0 counts as 1.
    pub concurrency: u32,
}

/// The workers of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workers {
    /// They run and have nothing to do.
    pub idle: u32,
    /// They hold at least one ticket.
    pub busy: u32,
    /// They were asked for and do not work yet.
    pub booting: u32,
    /// They finish what they hold, and leave.
    pub draining: u32,
}

impl Workers {
    /// Those that will take tickets.
    fn lasting(&self) -> u32 {
        self.idle.saturating_add(self.busy).saturating_add(self.booting)
    }

    fn coming(&self) -> u64 {
        u64::from(self.idle) + u64::from(self.booting)
    }

    fn there(&self) -> u64 {
        u64::from(self.idle) + u64::from(self.busy)
    }
}

/// What there is to see at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When.
    pub now: Timestamp,
    /// Tickets that are due and held by nobody.
    pub ready: u64,
    /// Tickets that are held.
    pub in_flight: u64,
    /// How long the oldest of those that are ready has been due.
    pub oldest_age: Duration,
    /// How much longer each ticket that is held will take, of those of which it can be said. The
    /// others are taken for work like any other.
    pub held: Vec<Duration>,
    /// How long those that are ready take.
    pub service: ServiceTime,
    /// The workers.
    pub workers: Workers,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Workers that should take tickets from now on, at most `workers_max`.
    pub wanted: u32,
    /// So many are to be started.
    pub start: u32,
    /// So many idle ones may be stopped, and no others. A worker that takes a ticket before it
    /// stops is to be drained: it finishes first.
    pub stop_idle: u32,
}

impl Decision {
    /// What to do with workers that serve several lanes, given what each lane decided for itself
    /// about the same workers: as many as the lane that wants the most, and none is stopped that
    /// one of them still wants. Without lanes, nothing is to be done.
    pub fn together(lanes: impl IntoIterator<Item = Decision>) -> Decision {
        let both = |one: Decision, other: Decision| Decision {
            wanted: one.wanted.max(other.wanted),
            start: one.start.max(other.start),
            stop_idle: one.stop_idle.min(other.stop_idle),
        };
        let all = lanes.into_iter().reduce(both);
        let all = all.unwrap_or(Decision { wanted: 0, start: 0, stop_idle: 0 });
        Decision { stop_idle: if all.start > 0 { 0 } else { all.stop_idle }, ..all }
    }
}

impl Policy {
    /// What to do, given what there is to see and what was remembered; and what to remember.
    ///
    /// The more is ready, the more workers are wanted, all else equal.
    pub fn decide(&self, mut memory: Memory, seen: &Observation) -> (Decision, Memory) {
        memory.learn(seen);
        let floor = self.floor(&memory);
        let lasting = seen.workers.lasting();
        let room = self.workers_max.saturating_sub(lasting.saturating_add(seen.workers.draining));
        let start = self.lacking(&memory, seen).max(floor.saturating_sub(lasting)).min(room);
        let long_spare = memory.long_spare(seen.now, self.spare(seen), self.patience());
        let dispensable = long_spare.min(lasting.saturating_sub(floor));
        let excess = lasting.saturating_sub(self.workers_max);
        let stop_idle = match start {
            0 => dispensable.max(excess).min(seen.workers.idle),
            _ => 0,
        };
        memory.remember_start(seen.now, start, self.boot);
        let wanted = (lasting - stop_idle).saturating_add(start).min(self.workers_max);
        (Decision { wanted, start, stop_idle }, memory)
    }

    fn concurrency(&self) -> u64 {
        u64::from(self.concurrency.max(1))
    }

    /// The workers that are kept whatever there is to do. Where booting takes longer than a ticket
    /// may wait, those that are needed must be there before it: by Little's law, as many as there
    /// are tickets held on the average, and some more.
    fn floor(&self, memory: &Memory) -> u32 {
        let warm = if self.boot > self.target_wait {
            let load = memory.load() / self.concurrency() as f64;
            (load + FLOOR_MARGIN * load.sqrt()).ceil().max(1.0) as u32
        } else {
            0
        };
        self.workers_min.max(warm).min(self.workers_max)
    }

    /// Idle workers that what is ready leaves idle.
    fn spare(&self, seen: &Observation) -> u32 {
        let needed = seen.ready.div_ceil(self.concurrency());
        seen.workers.idle.saturating_sub(u32::try_from(needed).unwrap_or(u32::MAX))
    }

    /// How long an idle worker is kept, in seconds.
    fn patience(&self) -> f64 {
        (PATIENCE.0 * self.boot.as_secs_f64()).max(PATIENCE.1)
    }

    /// The workers to add so that all that is ready begins in time.
    ///
    /// The oldest ticket has waited longest, the newest not at all, and the others are taken to lie
    /// evenly between. Of each part, counted from the oldest, it is asked whether it will have begun
    /// when its newest should. What begins before a new worker could come needs no new worker. And
    /// where booting takes longer than a ticket may wait, those that come meanwhile can only begin
    /// in time if their worker is asked for now.
    fn lacking(&self, memory: &Memory, seen: &Observation) -> u32 {
        let service = seconds(seen.service.mean).max(0.001);
        let (target, boot) = (AIM * seconds(self.target_wait), seconds(self.boot));
        let age = seconds(seen.oldest_age);
        let coming = GROWTH_GOES_ON * memory.growth().max(0.0) * (boot - target).max(0.0);
        let mut lacking = 0.0_f64;
        for part in 1..=PARTS {
            let share = f64::from(part) / f64::from(PARTS);
            let left = (target - age * (1.0 - share)).max(0.0);
            let more = if part == PARTS { coming } else { 0.0 };
            let due = seen.ready as f64 * share + more;
            let late = due - self.begun_within(left.max(boot), memory, seen, service);
            let each = 1.0 + (left - boot).max(0.0) / service;
            let each = each.max(WORTH_A_BOOT * boot / service) * self.concurrency() as f64;
            lacking = lacking.max(late / each);
        }
        let slots_coming = seen.workers.coming().saturating_mul(self.concurrency());
        let useful = seen.ready.saturating_add(coming as u64).saturating_sub(slots_coming);
        let useful = useful.div_ceil(self.concurrency());
        (lacking.ceil() as u32).min(u32::try_from(useful).unwrap_or(u32::MAX))
    }

    /// How many tickets the workers that are there or booting will, rather surely, have begun after
    /// so many seconds.
    fn begun_within(&self, left: f64, memory: &Memory, seen: &Observation, service: f64) -> f64 {
        let slots = self.concurrency();
        let taken = seen.in_flight.min(u64::from(seen.workers.busy).saturating_mul(slots)) as f64;
        let free = (seen.workers.there().saturating_mul(slots) as f64 - taken).max(0.0);
        let ending = seen.held.iter().map(|held| seconds(*held)).filter(|held| *held <= left);
        let known: f64 = ending.map(|held| 1.0 + (left - held) / service).sum();
        let unknown = (taken - seen.held.len() as f64).max(0.0);
        // One is met in the midst of a ticket, and more likely of a long one.
        let variation = seen.service.variation;
        let squared = if variation > 0.0 { variation.min(100.0).powi(2) } else { 0.0 };
        let turns = left / service;
        let met = (turns + (1.0 - squared) / 2.0).clamp(0.0, turns * 2.0 / (1.0 + squared));
        let (mut sure, mut likely) = (free, known + unknown * met + free * turns);
        for (count, boots) in memory.booting(seen, self.boot) {
            if boots <= left {
                let slots = f64::from(count) * slots as f64;
                sure += slots;
                likely += slots * (left - boots) / service;
            }
        }
        let margin = match left <= seconds(self.boot) + LAST_LOOKS {
            _ if self.boot > self.target_wait => HOPELESS_MARGIN,
            true => LAST_MARGIN,
            false => MARGIN,
        };
        sure + (likely - margin * squared.sqrt() * likely.sqrt()).max(0.0)
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
