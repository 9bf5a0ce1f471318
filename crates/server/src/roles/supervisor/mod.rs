//! The supervisor role: keeps as many worker processes on this machine as there is work for.
//!
//! It looks at the lanes when something was committed here, and from time to time, since others
//! commit too; what to do is decided by the domain's scaling policy. It holds no ticket and no
//! state that matters: when it dies, its workers end, and the next one begins anew.

mod fleet;
mod gauges;

pub(crate) use fleet::Program;

use crate::config::Settings;
use crate::failure::{Failure, Outcome};
use crate::roles::worker;
use crate::supervised::Report;
use crate::wiring::Backends;
use fleet::{Event, Fleet};
use gauges::Gauges;
use printmill_backend::BackendError;
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::scaling::{
    Decision, Guess, Memory, Observation, Policy, ServiceTimes, Workers,
};
use printmill_engine::operations::{LaneLoad, Operations};
use prometheus::Registry;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks at least, however much is committed.
const LOOK_MIN: Duration = Duration::from_millis(250);
/// Between two looks while there are workers or work.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at most, when there is neither.
const LOOK_IDLE: Duration = Duration::from_secs(4);
/// What a ticket is believed to take before one was seen.
const SERVICE_GUESS: Duration = Duration::from_secs(1);
/// Tickets have no size that says how long they take.
const SIZE: f64 = 1.0;

/// Keeps workers until `shutdown`, then lets all of them drain.
pub(crate) async fn run(
    settings: &Settings,
    backends: &Backends,
    program: Program,
    registry: &Registry,
    shutdown: CancellationToken,
) -> Outcome {
    let gauges = Gauges::register(registry).map_err(|error| {
        let message = format!("the supervisor's counters cannot be registered: {error}");
        Failure::new(Code::Internal, message, "report this")
    })?;
    let operations = Operations::new(backends.database.clone(), backends.clock.clone());
    let mut fleet = Fleet::new(program);
    let mut lanes: Vec<LaneState> = LaneState::all(settings);
    let mut commits = backends.database.commits();
    let mut pause = LOOK;
    while !shutdown.is_cancelled() {
        commits.borrow_and_update();
        let looked = Instant::now();
        let now = backends.clock.now();
        let active = match look(&operations, &mut lanes, &mut fleet, &gauges, now).await {
            Ok(active) => active,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "could not see how much work there is");
                false
            }
        };
        pause = if active { LOOK } else { (pause * 2).min(LOOK_IDLE) };
        let next = tokio::time::sleep_until(looked + pause);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some((number, event)) = fleet.event() => match event {
                    Event::Said(report) => {
                        learn(&mut lanes, &report);
                        fleet.said(number, &report);
                    }
                    Event::Ended(status) => fleet.ended(number, status),
                },
                Ok(()) = commits.changed() => {
                    let soon = looked + LOOK_MIN;
                    if soon < next.deadline() {
                        next.as_mut().reset(soon);
                    }
                }
                () = &mut next => break,
            }
        }
    }
    fleet.leave().await;
    Ok(())
}

/// Looks once and does what is to be done; whether there are workers or work.
async fn look(
    operations: &Operations,
    lanes: &mut [LaneState],
    fleet: &mut Fleet,
    gauges: &Gauges,
    now: Timestamp,
) -> Result<bool, BackendError> {
    let loads = operations.lanes(false).await?;
    let (workers, boot) = (fleet.workers(), fleet.boot());
    let mut work = false;
    let mut decisions = vec![];
    for lane in lanes {
        let load = loads.iter().find(|load| load.lane == lane.lane);
        work |= load.is_some_and(|load| load.ready + load.in_flight > 0);
        decisions.push(lane.decide(load, workers, boot, now));
    }
    let decision = Decision::together(decisions);
    fleet.start(decision.start);
    fleet.retire_idle(decision.stop_idle).await;
    gauges.set(decision.wanted, fleet.workers());
    Ok(work || !fleet.is_empty())
}

fn learn(lanes: &mut [LaneState], report: &Report) {
    for done in &report.done {
        let Ok(took) = Duration::try_from_secs_f64(done.seconds) else { continue };
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.lane.as_str() == done.lane) {
            lane.service.observe(&done.kind, SIZE, took);
        }
    }
}

/// A lane that the workers serve, and what is known of it.
struct LaneState {
    lane: Lane,
    policy: Policy,
    memory: Memory,
    service: ServiceTimes,
}

impl LaneState {
    fn all(settings: &Settings) -> Vec<Self> {
        let guess = Guess { size: SIZE, time: SERVICE_GUESS };
        let served = worker::lanes(settings, true).into_iter();
        let lanes = served.map(|served| LaneState {
            policy: settings.scaling_policy(served.concurrency),
            lane: served.lane,
            memory: Memory::default(),
            service: ServiceTimes::new(guess),
        });
        lanes.collect()
    }

    fn decide(
        &mut self,
        load: Option<&LaneLoad>,
        workers: Workers,
        boot: Duration,
        now: Timestamp,
    ) -> Decision {
        self.policy.boot = boot;
        let age = load.and_then(|load| load.oldest_ready).map(|since| now - since);
        let seen = Observation {
            now,
            ready: load.map_or(0, |load| load.ready),
            in_flight: load.map_or(0, |load| load.in_flight),
            oldest_age: age.and_then(|age| age.to_std().ok()).unwrap_or_default(),
            held: vec![],
            service: self.service.typical(),
            workers,
        };
        let (decision, memory) = self.policy.decide(std::mem::take(&mut self.memory), &seen);
        self.memory = memory;
        decision
    }
}
