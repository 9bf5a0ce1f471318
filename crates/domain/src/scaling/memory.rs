//! What the scaling policy remembers from one look to the next.

use super::Observation;
use crate::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Over how many seconds the load is averaged that a warm floor is made for.
const LOAD_WINDOW: f64 = 3600.0;
/// Over how many seconds the growth of what is to do is averaged.
const GROWTH_WINDOW: f64 = 60.0;

/// What the policy remembers. Losing it costs some money, and no ticket its time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Since when there were always at least so many idle workers that were not needed; times and
    /// counts both ascend.
    spare: VecDeque<(Timestamp, u32)>,
    /// Workers that were asked for lately, and when.
    started: VecDeque<(Timestamp, u32)>,
    /// When it looked last, and the tickets that were ready or held then.
    last: Option<(Timestamp, f64)>,
    /// The mean number of tickets held.
    load: f64,
    /// The mean growth of the number of tickets ready or held, per second.
    growth: f64,
}

impl Memory {
    /// The mean number of tickets that were held lately.
    pub(super) fn load(&self) -> f64 {
        self.load
    }

    /// By how many the tickets that are ready or held grew in a second, lately.
    pub(super) fn growth(&self) -> f64 {
        self.growth
    }

    /// Takes in what there is to see.
    pub(super) fn learn(&mut self, seen: &Observation) {
        let tickets = seen.ready.saturating_add(seen.in_flight) as f64;
        if let Some((last, before)) = self.last {
            let passed = since(last, seen.now);
            if passed > 0.0 {
                let part = |window: f64| 1.0 - (-passed / window).exp();
                self.load += part(LOAD_WINDOW) * (seen.in_flight as f64 - self.load);
                let growth = (tickets - before) / passed;
                self.growth += part(GROWTH_WINDOW) * (growth - self.growth);
            }
        }
        self.last = Some((seen.now, tickets));
    }

    /// The workers that were spare all the time for at least so many seconds, up to now.
    pub(super) fn long_spare(&mut self, now: Timestamp, spare: u32, patience: f64) -> u32 {
        let mut begin = now;
        while let Some((time, count)) = self.spare.back().copied() {
            if count < spare {
                break;
            }
            // There were more before, so there were as many as now since then.
            begin = time.min(now);
            self.spare.pop_back();
        }
        self.spare.push_back((begin, spare));
        let long = self.spare.iter().filter(|(time, _)| since(*time, now) >= patience);
        long.map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// Remembers that so many workers were asked for, for a few boots' time.
    pub(super) fn remember_start(&mut self, now: Timestamp, count: u32, boot: Duration) {
        let kept = 3.0 * boot.as_secs_f64() + 60.0;
        while self.started.front().is_some_and(|(time, _)| since(*time, now) > kept) {
            self.started.pop_front();
        }
        if count > 0 {
            self.started.push_back((now, count));
        }
    }

    /// The workers that boot, in groups, and for how many seconds more: those that were asked for
    /// last.
    pub(super) fn booting(&self, seen: &Observation, boot: Duration) -> Vec<(u32, f64)> {
        let boot = boot.as_secs_f64();
        let mut rest = seen.workers.booting;
        let mut groups = vec![];
        for (time, count) in self.started.iter().rev() {
            let count = rest.min(*count);
            rest -= count;
            groups.push((count, (boot - since(*time, seen.now)).max(0.0)));
        }
        // Nobody remembers when the others were asked for.
        groups.push((rest, boot));
        groups
    }
}

/// Seconds from one time to another; none when the clock was set back.
fn since(then: Timestamp, now: Timestamp) -> f64 {
    (now - then).as_seconds_f64().max(0.0)
}
