//! The policies that are compared: Printmill's own, and models of KEDA and of AWS.

use super::trace::Arrival;
use printmill_domain::Timestamp;
use printmill_domain::scaling::{
    Guess, Memory, Observation, Policy, ServiceTime, ServiceTimes, Workers,
};
use std::collections::VecDeque;
use std::time::Duration;

/// What a policy sees when it looks.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// When, in seconds from the trace's begin.
    pub(crate) now: f64,
    /// What waits, the oldest first. How long it will take is not to be looked at.
    pub(crate) ready: Vec<&'a Arrival>,
    /// What is held by workers that will take more, and for how long already, in seconds.
    pub(crate) held: Vec<(&'a Arrival, f64)>,
    /// Workers with nothing to do.
    pub(crate) idle: u32,
    /// Workers at work.
    pub(crate) busy: u32,
    /// Workers that boot.
    pub(crate) booting: u32,
    /// Workers that finish their ticket and leave.
    pub(crate) draining: u32,
}

impl View<'_> {
    fn lasting(&self) -> u32 {
        self.idle + self.busy + self.booting
    }

    fn oldest_age(&self) -> f64 {
        self.ready.first().map_or(0.0, |oldest| self.now - oldest.at)
    }
}

/// Which workers are stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stop {
    /// None.
    None,
    /// Only such as have nothing to do.
    Idle(u32),
    /// Whichever; a busy one is killed when it has not finished after so many seconds.
    Any {
        /// How many.
        count: u32,
        /// How long a busy one may go on, in seconds.
        grace: f64,
    },
}

/// What a policy wants done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Orders {
    /// Workers to start.
    pub(crate) start: u32,
    /// Workers to stop.
    pub(crate) stop: Stop,
}

/// A policy at work.
pub(crate) trait Autoscaler {
    /// How often it looks, in seconds.
    fn period(&self) -> f64;
    /// Looks and decides.
    fn look(&mut self, view: &View<'_>) -> Orders;
    /// Learns that a ticket is done, and how long it took.
    fn finished(&mut self, _ticket: &Arrival) {}
    /// Whether a worker that is lost is replaced at once, whatever there is to do.
    fn replaces_lost(&self) -> bool;
}

/// Printmill's own.
pub(crate) struct Printmill {
    policy: Policy,
    memory: Memory,
    times: ServiceTimes,
    sees: Sees,
}

/// What Printmill's policy is given beside the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The sizes of tickets, and how long each has been held.
    Everything,
    /// That, but all sizes are the same.
    NoSizes,
    /// Counters only: no sizes, and not how long a ticket has been held.
    Counters,
}

impl Printmill {
    /// With a first guess of how long work takes.
    pub(crate) fn new(policy: Policy, guess: Guess, sees: Sees) -> Self {
        Self { policy, memory: Memory::default(), times: ServiceTimes::new(guess), sees }
    }

    fn size(&self, ticket: &Arrival) -> f64 {
        if self.sees == Sees::Everything { ticket.size } else { 1.0 }
    }

    fn expected(&self, ticket: &Arrival) -> Duration {
        self.times.expect(&ticket.kind, self.size(ticket))
    }

    /// One that takes longer than expected will go on for a part of what it took.
    fn left(&self, ticket: &Arrival, elapsed: f64) -> Duration {
        let left = self.expected(ticket).as_secs_f64() - elapsed;
        Duration::from_secs_f64(left.max(0.2 * elapsed))
    }
}

impl Autoscaler for Printmill {
    fn period(&self) -> f64 {
        5.0
    }

    fn look(&mut self, view: &View<'_>) -> Orders {
        let work: Duration = view.ready.iter().map(|ticket| self.expected(ticket)).sum();
        let typical = self.times.typical();
        let mean = match u32::try_from(view.ready.len()) {
            Ok(count @ 1..) => work / count,
            _ => typical.mean,
        };
        let held = match self.sees {
            Sees::Counters => vec![],
            _ => view.held.iter().map(|(ticket, elapsed)| self.left(ticket, *elapsed)).collect(),
        };
        let seen = Observation {
            held,
            now: Timestamp::UNIX_EPOCH + Duration::from_secs_f64(view.now),
            ready: view.ready.len() as u64,
            in_flight: u64::from(view.busy + view.draining),
            oldest_age: Duration::from_secs_f64(view.oldest_age()),
            service: ServiceTime { mean, ..typical },
            workers: Workers {
                idle: view.idle,
                busy: view.busy,
                booting: view.booting,
                draining: view.draining,
            },
        };
        let (decision, memory) = self.policy.decide(std::mem::take(&mut self.memory), &seen);
        self.memory = memory;
        Orders { start: decision.start, stop: Stop::Idle(decision.stop_idle) }
    }

    fn finished(&mut self, ticket: &Arrival) {
        let took = Duration::from_secs_f64(ticket.duration);
        self.times.observe(&ticket.kind, self.size(ticket), took);
    }

    fn replaces_lost(&self) -> bool {
        false
    }
}

/// KEDA on the length of a queue: its own part between none and one, and beyond that the
/// HorizontalPodAutoscaler, with their defaults.
pub(crate) struct Keda {
    /// Tickets, ready or held, for each worker.
    queue_length: f64,
    /// How long a busy worker may go on when it is to stop, in seconds.
    grace: f64,
    workers_max: u32,
    replicas: u32,
    looks: u32,
    active_at: f64,
    wanted: VecDeque<(f64, u32)>,
}

impl Keda {
    const COOLDOWN: f64 = 300.0;
    const STABILIZATION: f64 = 300.0;

    /// With the two settings that people change.
    pub(crate) fn new(queue_length: f64, grace: f64, workers_max: u32) -> Self {
        let wanted = VecDeque::new();
        Self { queue_length, grace, workers_max, replicas: 0, looks: 0, active_at: 0.0, wanted }
    }

    /// The HPA: the metric is the sum of tickets, its target an average for each worker. It is let
    /// be within a tenth of the target, at most doubles or adds four, and goes down to the most
    /// that it wanted in the last five minutes.
    fn scaled(&mut self, now: f64, tickets: f64) -> u32 {
        let present = f64::from(self.replicas);
        let ratio = tickets / (self.queue_length * present);
        let wanted = match (ratio - 1.0).abs() <= 0.1 {
            true => self.replicas,
            false => (tickets / self.queue_length).ceil() as u32,
        };
        let wanted = wanted.clamp(1, self.workers_max);
        self.wanted.push_back((now, wanted));
        while self.wanted.front().is_some_and(|(at, _)| now - at > Self::STABILIZATION) {
            self.wanted.pop_front();
        }
        let most = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        if wanted >= self.replicas {
            wanted.min((self.replicas * 2).max(self.replicas + 4))
        } else {
            most.min(self.replicas)
        }
    }
}

impl Autoscaler for Keda {
    fn period(&self) -> f64 {
        15.0
    }

    fn look(&mut self, view: &View<'_>) -> Orders {
        let tickets = (view.ready.len() as u32 + view.busy + view.draining) as f64;
        let keda_polls = self.looks.is_multiple_of(2);
        self.looks += 1;
        if keda_polls && tickets > 0.0 {
            self.active_at = view.now;
        }
        if self.replicas == 0 {
            if keda_polls && tickets > 0.0 {
                self.replicas = 1;
                self.wanted.clear();
            }
        } else if keda_polls && view.now - self.active_at >= Self::COOLDOWN {
            self.replicas = 0;
        } else {
            self.replicas = self.scaled(view.now, tickets);
        }
        let lasting = view.lasting();
        let count = lasting.saturating_sub(self.replicas);
        let stop = if count > 0 { Stop::Any { count, grace: self.grace } } else { Stop::None };
        Orders { start: self.replicas.saturating_sub(lasting), stop }
    }

    fn replaces_lost(&self) -> bool {
        true
    }
}

/// Target tracking of the backlog per instance, as AWS describes it for SQS: at least one
/// instance, metrics by the minute, three minutes above the target to grow, fifteen below nine
/// tenths of it to shrink. Instances at work are protected from being chosen, as AWS advises.
pub(crate) struct AwsBacklog {
    /// Ready tickets for each instance: the target wait by the mean service time.
    target: f64,
    workers_max: u32,
    above: u32,
    below: u32,
    desired: u32,
}

impl AwsBacklog {
    /// For a target wait and what is believed to be the mean service time, both in seconds.
    pub(crate) fn new(target_wait: f64, service: f64, workers_max: u32) -> Self {
        Self { target: target_wait / service, workers_max, above: 0, below: 0, desired: 1 }
    }
}

impl Autoscaler for AwsBacklog {
    fn period(&self) -> f64 {
        60.0
    }

    fn look(&mut self, view: &View<'_>) -> Orders {
        let in_service = (view.idle + view.busy).max(1);
        let metric = view.ready.len() as f64 / f64::from(in_service);
        self.above = if metric > self.target { self.above + 1 } else { 0 };
        self.below = if metric < 0.9 * self.target { self.below + 1 } else { 0 };
        let tracked = (f64::from(in_service) * metric / self.target).ceil() as u32;
        if self.above >= 3 {
            self.desired = self.desired.max(tracked);
        } else if self.below >= 15 {
            self.desired = self.desired.min(tracked);
        }
        self.desired = self.desired.clamp(1, self.workers_max);
        let lasting = view.lasting();
        let excess = lasting.saturating_sub(self.desired).min(view.idle);
        Orders { start: self.desired.saturating_sub(lasting), stop: Stop::Idle(excess) }
    }

    fn replaces_lost(&self) -> bool {
        true
    }
}
