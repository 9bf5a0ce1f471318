//! A pool of workers that serves a trace, second by second, under a policy that sees what a real
//! one could see.
//!
//! Each worker does one ticket at a time, the oldest first. The spot market takes back places of
//! workers at times that are the same for every policy; whoever is there is gone without notice.
//! A ticket whose worker is gone waits again, at its old age.

use super::policies::{Autoscaler, Stop, View};
use super::trace::{Arrival, Trace};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// What the pool is like.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    /// From asking for a worker to its first ticket, in seconds.
    pub(crate) boot: f64,
    /// Workers that there may be.
    pub(crate) workers_max: u32,
    /// How often a worker's place is taken back, in an hour.
    pub(crate) kills_per_hour: f64,
    /// Draws the kills and KEDA's victims.
    pub(crate) seed: u64,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From being asked for to being gone, of all workers together, in seconds.
    pub(crate) worker_seconds: f64,
    /// How long each ticket waited until it was begun for the last time, in seconds, ascending.
    pub(crate) waits: Vec<f64>,
    /// Tickets not done an hour after the last arrived.
    pub(crate) unfinished: usize,
    /// Workers that the policy killed at work.
    pub(crate) busy_killed: u32,
    /// Workers that the spot market killed at work.
    pub(crate) spot_killed: u32,
    /// Workers started.
    pub(crate) started: u32,
    /// The most workers at one time.
    pub(crate) workers_most: u32,
}

/// A time in microseconds: exact, so that equal times are equal.
type Time = u64;

fn time(seconds: f64) -> Time {
    (seconds * 1e6).round() as Time
}

fn seconds(time: Time) -> f64 {
    time as f64 / 1e6
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done { place: usize, worker: u32 },
    Booted { place: usize, worker: u32 },
    GraceOver { place: usize, worker: u32 },
    SpotKill { place: usize },
    Arrival(usize),
    Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Booting,
    Idle,
    Busy(usize),
}

#[derive(Debug, Clone, Copy)]
struct Worker {
    number: u32,
    born: Time,
    since: Time,
    state: State,
    leaving: bool,
}

/// Serves the trace until an hour after its last arrival.
pub(crate) fn simulate(trace: &Trace, pool: &Pool, policy: &mut dyn Autoscaler) -> Outcome {
    let last = trace.arrivals.last().map_or(0.0, |arrival| arrival.at);
    let end = time(last + 3600.0);
    let places = pool.workers_max as usize * 2;
    let mut simulation = Simulation {
        arrivals: &trace.arrivals,
        boot: time(pool.boot),
        now: 0,
        events: BinaryHeap::new(),
        places: vec![None; places],
        ready: BTreeSet::new(),
        waits: vec![None; trace.arrivals.len()],
        rng: Rng::with_seed(pool.seed),
        finished: vec![],
        out: Outcome::default(),
    };
    for (number, arrival) in trace.arrivals.iter().enumerate() {
        simulation.at(time(arrival.at), Event::Arrival(number));
    }
    simulation.draw_kills(pool, end);
    simulation.at(0, Event::Look);
    while let Some(Reverse((now, event))) = simulation.events.pop() {
        if now > end {
            break;
        }
        simulation.now = now;
        simulation.happen(event, policy);
    }
    simulation.now = end;
    simulation.closed()
}

struct Simulation<'a> {
    arrivals: &'a [Arrival],
    boot: Time,
    now: Time,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    places: Vec<Option<Worker>>,
    ready: BTreeSet<usize>,
    waits: Vec<Option<Time>>,
    rng: Rng,
    finished: Vec<usize>,
    out: Outcome,
}

impl Simulation<'_> {
    fn at(&mut self, at: Time, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    fn draw_kills(&mut self, pool: &Pool, end: Time) {
        if pool.kills_per_hour <= 0.0 {
            return;
        }
        let mut rng = Rng::with_seed(pool.seed ^ 0x5907);
        let rate = pool.kills_per_hour / 3600.0;
        for place in 0..self.places.len() {
            let mut at = 0.0;
            loop {
                at += -(1.0 - rng.f64()).ln() / rate;
                if time(at) > end {
                    break;
                }
                self.at(time(at), Event::SpotKill { place });
            }
        }
    }

    fn happen(&mut self, event: Event, policy: &mut dyn Autoscaler) {
        match event {
            Event::Arrival(ticket) => {
                self.ready.insert(ticket);
            }
            Event::Booted { place, worker } => {
                if let Some(worker) = self.worker(place, worker) {
                    worker.state = State::Idle;
                }
            }
            Event::Done { place, worker } => self.done(place, worker),
            Event::GraceOver { place, worker } => {
                if let Some(State::Busy(_)) = self.worker(place, worker).map(|worker| worker.state)
                {
                    self.out.busy_killed += 1;
                    self.remove(place);
                }
            }
            Event::SpotKill { place } => {
                if let Some(worker) = self.places[place] {
                    self.out.spot_killed += u32::from(matches!(worker.state, State::Busy(_)));
                    self.remove(place);
                    if policy.replaces_lost() && !worker.leaving {
                        self.start(1);
                    }
                }
            }
            Event::Look => {
                self.look(policy);
                let next = self.now + time(policy.period());
                self.at(next, Event::Look);
            }
        }
        self.assign();
    }

    fn worker(&mut self, place: usize, number: u32) -> Option<&mut Worker> {
        self.places[place].as_mut().filter(|worker| worker.number == number)
    }

    fn done(&mut self, place: usize, number: u32) {
        let Some(worker) = self.worker(place, number) else { return };
        let State::Busy(ticket) = worker.state else { return };
        worker.state = State::Idle;
        let leaving = worker.leaving;
        self.finished.push(ticket);
        if leaving {
            self.remove(place);
        }
    }

    /// A worker is gone; what it worked on waits again.
    fn remove(&mut self, place: usize) {
        let Some(worker) = self.places[place].take() else { return };
        self.out.worker_seconds += seconds(self.now - worker.born);
        if let State::Busy(ticket) = worker.state {
            self.waits[ticket] = None;
            self.ready.insert(ticket);
        }
    }

    fn start(&mut self, count: u32) {
        for _ in 0..count {
            let Some(place) = self.places.iter().position(Option::is_none) else { return };
            let number = self.out.started;
            self.out.started += 1;
            let state = State::Booting;
            self.places[place] =
                Some(Worker { number, born: self.now, since: self.now, state, leaving: false });
            self.at(self.now + self.boot, Event::Booted { place, worker: number });
        }
        let there = self.places.iter().flatten().count() as u32;
        self.out.workers_most = self.out.workers_most.max(there);
    }

    fn assign(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        for place in 0..self.places.len() {
            let Some(worker) = &mut self.places[place] else { continue };
            if worker.state != State::Idle || worker.leaving {
                continue;
            }
            let Some(ticket) = self.ready.pop_first() else { return };
            worker.state = State::Busy(ticket);
            worker.since = self.now;
            let number = worker.number;
            let arrival = &self.arrivals[ticket];
            self.waits[ticket] = Some(self.now.saturating_sub(time(arrival.at)));
            self.at(self.now + time(arrival.duration), Event::Done { place, worker: number });
        }
    }

    fn look(&mut self, policy: &mut dyn Autoscaler) {
        for ticket in std::mem::take(&mut self.finished) {
            policy.finished(&self.arrivals[ticket]);
        }
        let mut held = vec![];
        let (mut idle, mut busy, mut booting, mut draining) = (0, 0, 0, 0);
        for worker in self.places.iter().flatten() {
            match worker.state {
                _ if worker.leaving => draining += 1,
                State::Booting => booting += 1,
                State::Idle => idle += 1,
                State::Busy(ticket) => {
                    busy += 1;
                    held.push((&self.arrivals[ticket], seconds(self.now - worker.since)));
                }
            }
        }
        let ready: Vec<&Arrival> =
            self.ready.iter().map(|ticket| &self.arrivals[*ticket]).collect();
        let now = seconds(self.now);
        let orders = policy.look(&View { now, ready, held, idle, busy, booting, draining });
        match orders.stop {
            Stop::None => {}
            Stop::Idle(count) => self.stop_idle(count),
            Stop::Any { count, grace } => self.stop_any(count, grace),
        }
        self.start(orders.start);
    }

    fn stop_idle(&mut self, count: u32) {
        // The highest places first, so that the spot market finds the same ones taken.
        let idle = |worker: &Option<Worker>| {
            worker.is_some_and(|worker| worker.state == State::Idle && !worker.leaving)
        };
        let places: Vec<_> =
            (0..self.places.len()).rev().filter(|at| idle(&self.places[*at])).collect();
        for place in places.into_iter().take(count as usize) {
            self.remove(place);
        }
    }

    /// What Kubernetes does: those that are not ready yet go first, then any. A busy one may go on
    /// for the grace period, and is killed then.
    fn stop_any(&mut self, count: u32, grace: f64) {
        let mut there: Vec<usize> = (0..self.places.len())
            .filter(|at| self.places[*at].is_some_and(|worker| !worker.leaving))
            .collect();
        self.rng.shuffle(&mut there);
        there.sort_by_key(|at| {
            self.places[*at].is_some_and(|worker| worker.state != State::Booting)
        });
        for place in there.into_iter().take(count as usize) {
            let Some(worker) = &mut self.places[place] else { continue };
            let number = worker.number;
            match worker.state {
                State::Busy(_) => {
                    worker.leaving = true;
                    self.at(self.now + time(grace), Event::GraceOver { place, worker: number });
                }
                State::Booting | State::Idle => self.remove(place),
            }
        }
    }

    fn closed(mut self) -> Outcome {
        for worker in self.places.iter().flatten() {
            self.out.worker_seconds += seconds(self.now - worker.born);
            if let State::Busy(ticket) = worker.state {
                self.waits[ticket] = None;
            }
        }
        let mut waits: Vec<f64> = self.waits.iter().flatten().map(|wait| seconds(*wait)).collect();
        waits.sort_by(f64::total_cmp);
        self.out.unfinished = self.arrivals.len() - waits.len();
        self.out.waits = waits;
        self.out
    }
}

impl Outcome {
    /// The share of tickets that waited longer than the target, those that were never done included.
    pub(crate) fn over(&self, target: f64) -> f64 {
        let late = self.waits.iter().filter(|wait| **wait > target).count() + self.unfinished;
        late as f64 / (self.waits.len() + self.unfinished) as f64
    }

    /// The wait that so large a share of tickets did not exceed, in seconds.
    pub(crate) fn wait(&self, share: f64) -> f64 {
        let last = self.waits.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.waits.get(at).copied().unwrap_or(f64::NAN)
    }
}
