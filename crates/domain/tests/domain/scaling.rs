//! How many workers: never too many, never a busy one stopped, none for nothing; and estimates
//! that outliers and wrong guesses do not spoil.

use crate::cases;
use printmill_domain::Timestamp;
use printmill_domain::scaling::{
    Backlog, Decision, Guess, Memory, Observation, Policy, Replicas, ServiceTime, ServiceTimes,
    Workers,
};
use proptest::prelude::*;
use std::time::Duration;

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn policy() -> impl Strategy<Value = Policy> {
    let boot = prop_oneof![Just(5), Just(60), Just(180), 0..1000_u64];
    (0..600_u64, boot, 0..5_u32, 0..200_u32, 0..9_u32).prop_map(
        |(target, boot, min, max, slots)| Policy {
            target_wait: Duration::from_secs(target),
            boot: Duration::from_secs(boot),
            workers_min: min,
            workers_max: max,
            concurrency: slots,
        },
    )
}

fn workers() -> impl Strategy<Value = Workers> {
    let count = || prop_oneof![8 => 0..60_u32, 1 => Just(u32::MAX)];
    (count(), count(), count(), count()).prop_map(|(idle, busy, booting, draining)| Workers {
        idle,
        busy,
        booting,
        draining,
    })
}

fn observation() -> impl Strategy<Value = (u64, Observation)> {
    let tickets = || prop_oneof![4 => 0..100_u64, 2 => 0..100_000_u64, 1 => Just(u64::MAX)];
    let service = (0..1_000_000_u64, prop_oneof![4 => 0.0..5.0, 1 => Just(f64::NAN)]);
    let held = prop::collection::vec(0..1000_u64, 0..5);
    (0..30_u64, tickets(), tickets(), 0..4000_u64, held, service, workers()).prop_map(
        |(passed, ready, in_flight, age, held, (mean, variation), workers)| {
            let seen = Observation {
                now: at(0),
                ready,
                in_flight,
                oldest_age: Duration::from_secs(age),
                held: held.into_iter().map(Duration::from_secs).collect(),
                service: ServiceTime { mean: Duration::from_millis(mean), variation },
                workers,
            };
            (passed, seen)
        },
    )
}

/// Looks one after the other, and what the last was decided from.
fn looks(policy: &Policy, seen: Vec<(u64, Observation)>) -> Vec<(Memory, Observation, Decision)> {
    let (mut memory, mut now, mut decided) = (Memory::default(), 1_000_000, vec![]);
    for (passed, mut seen) in seen {
        now += passed;
        seen.now = at(now);
        let (decision, next) = policy.decide(memory.clone(), &seen);
        decided.push((memory, seen, decision));
        memory = next;
    }
    decided
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn what_is_decided_can_be_done(
        policy in policy(),
        seen in prop::collection::vec(observation(), 1..20),
    ) {
        for (_, seen, decision) in looks(&policy, seen) {
            let Workers { idle, busy, booting, draining } = seen.workers;
            let all = [idle, busy, booting, draining].map(u64::from).iter().sum::<u64>();
            prop_assert!(decision.wanted <= policy.workers_max);
            prop_assert!(decision.start == 0 || all + u64::from(decision.start) <= policy.workers_max.into());
            prop_assert!(decision.stop_idle <= idle, "a busy worker is stopped: {decision:?}");
            prop_assert!(decision.start == 0 || decision.stop_idle == 0, "both: {decision:?}");
            if all <= policy.workers_max.into() {
                let lasting = idle + busy + booting;
                prop_assert_eq!(decision.wanted, lasting + decision.start - decision.stop_idle);
                let least = policy.workers_min.min(policy.workers_max.saturating_sub(draining));
                prop_assert!(decision.wanted >= least);
            }
        }
    }

    #[test]
    fn more_that_is_ready_never_wants_fewer(
        policy in policy(),
        seen in prop::collection::vec(observation(), 1..10),
        more in prop_oneof![1..50_u64, any::<u64>()],
    ) {
        let decided = looks(&policy, seen);
        let (memory, seen, decision) = decided.last().unwrap();
        let ready = seen.ready.saturating_add(more);
        let (other, _) = policy.decide(memory.clone(), &Observation { ready, ..seen.clone() });
        prop_assert!(other.wanted >= decision.wanted, "{other:?} for more, {decision:?} for less");
    }

    #[test]
    fn nothing_to_do_ends_all_workers_but_the_warm_ones(
        mut policy in policy(),
        idle in 0..100_u32,
        before in prop::collection::vec(observation(), 0..5),
    ) {
        policy.workers_max = policy.workers_max.max(policy.workers_min + 1);
        let mut memory = Memory::default();
        for (memory_then, seen, _) in looks(&policy, before) {
            memory = policy.decide(memory_then, &seen).1;
        }
        let mut workers = Workers { idle, ..Workers::default() };
        // A day, at a look every ten minutes.
        for look in 0..24 * 6 {
            let seen = Observation {
                now: at(2_000_000 + 600 * look),
                ready: 0,
                in_flight: 0,
                oldest_age: Duration::ZERO,
                held: vec![],
                service: ServiceTime { mean: Duration::from_secs(20), variation: 1.0 },
                workers,
            };
            let (decision, next) = policy.decide(memory, &seen);
            memory = next;
            workers.idle = workers.idle + decision.start - decision.stop_idle;
        }
        let warm = u32::from(policy.boot > policy.target_wait);
        // A warm floor for an absurd load may outlast the day.
        if warm == 0 {
            prop_assert_eq!(workers.idle, policy.workers_min);
        } else {
            prop_assert!(workers.idle >= policy.workers_min.max(1));
        }
    }

    #[test]
    fn the_line_is_found_whatever_was_guessed(
        guess in 0.05..20.0_f64,
        slope in 0.0..1.5_f64,
        sizes in prop::collection::vec(1.0..100.0_f64, 150),
    ) {
        let truth = |size: f64| 3.0 * size.powf(slope);
        let guess = Guess { size: 10.0, time: Duration::from_secs_f64(guess * truth(10.0)) };
        let mut times = ServiceTimes::new(guess);
        for size in &sizes {
            times.observe("item.render", *size, Duration::from_secs_f64(truth(*size)));
        }
        let found = times.expect("item.render", 30.0).as_secs_f64() / truth(30.0);
        prop_assert!((0.8..1.25).contains(&found), "{found} of the truth");
    }

    #[test]
    fn outliers_move_little(
        outliers in prop::collection::vec((0..150_usize, prop_oneof![Just(0.0), Just(1e9)]), 1..8),
        sizes in prop::collection::vec(1.0..100.0_f64, 150),
    ) {
        let mut times = ServiceTimes::new(Guess { size: 1.0, time: Duration::from_secs(1) });
        for size in &sizes {
            times.observe("item.render", *size, Duration::from_secs_f64(*size));
        }
        for (number, size) in sizes.iter().enumerate() {
            let outlier = outliers.iter().find(|(at, _)| *at == number);
            let took = outlier.map_or(*size, |(_, took)| *took);
            times.observe("item.render", *size, Duration::from_secs_f64(took));
        }
        let found = times.expect("item.render", 30.0).as_secs_f64() / 30.0;
        prop_assert!((0.67..1.5).contains(&found), "{found} of the truth");
    }

    #[test]
    fn estimates_are_finite_whatever_is_observed(
        seen in prop::collection::vec((0..400_u16, any::<f64>(), any::<u64>()), 0..400),
        asked: f64,
    ) {
        let mut times = ServiceTimes::new(Guess { size: f64::NAN, time: Duration::ZERO });
        for (kind, size, millis) in seen {
            times.observe(&kind.to_string(), size, Duration::from_millis(millis));
        }
        let week = Duration::from_secs(7 * 86_400);
        prop_assert!(times.expect("1", asked) <= week && times.expect("other", asked) <= week);
        let typical = times.typical();
        prop_assert!(typical.mean <= week && typical.variation.is_finite());
    }
}

/// A policy as most have it, with a boot of so many seconds.
fn usual(boot: u64) -> Policy {
    Policy {
        target_wait: Duration::from_secs(120),
        boot: Duration::from_secs(boot),
        workers_min: 0,
        workers_max: 100,
        concurrency: 1,
    }
}

fn seen(now: u64, ready: u64, workers: Workers) -> Observation {
    Observation {
        now: at(now),
        ready,
        in_flight: workers.busy.into(),
        oldest_age: Duration::ZERO,
        held: vec![],
        service: ServiceTime { mean: Duration::from_secs(20), variation: 0.5 },
        workers,
    }
}

#[test]
fn the_first_ticket_starts_a_worker_and_few_more_wait_for_it() {
    let (first, memory) = usual(5).decide(Memory::default(), &seen(0, 1, Workers::default()));
    assert_eq!((first.wanted, first.start), (1, 1));
    let booting = Workers { booting: 1, ..Workers::default() };
    let (second, _) = usual(5).decide(memory, &seen(5, 3, booting));
    assert_eq!(second.start, 0, "one worker begins three tickets of 20 s within 120 s");
}

#[test]
fn age_alone_starts_workers() {
    let busy = Workers { busy: 1, ..Workers::default() };
    let fresh = seen(0, 2, busy);
    let old = Observation { oldest_age: Duration::from_secs(110), ..fresh.clone() };
    assert_eq!(usual(5).decide(Memory::default(), &fresh).0.start, 0);
    assert!(usual(5).decide(Memory::default(), &old).0.start > 0);
}

#[test]
fn a_ticket_that_holds_the_only_worker_for_long_is_not_waited_for() {
    let busy = Workers { busy: 1, ..Workers::default() };
    let usual_work = seen(0, 1, busy);
    let held = vec![Duration::from_secs(1000)];
    assert_eq!(usual(60).decide(Memory::default(), &usual_work).0.start, 0);
    let long = Observation { held, ..usual_work };
    assert_eq!(usual(60).decide(Memory::default(), &long).0.start, 1);
}

#[test]
fn an_idle_moment_stops_nobody() {
    let (mut memory, idle) = (Memory::default(), Workers { idle: 3, ..Workers::default() });
    let mut stopped = vec![];
    for (now, ready) in [(0, 0), (5, 2), (10, 0), (15, 0), (20, 0), (25, 0)] {
        let (decision, next) = usual(5).decide(memory, &seen(now, ready, idle));
        stopped.push(decision.stop_idle);
        memory = next;
    }
    assert_eq!(stopped, [0, 0, 1, 1, 3, 3], "one was spare for 10 s at 10 s, all at 20 s");
}

#[test]
fn where_booting_takes_too_long_one_is_kept_warm() {
    let none = Workers::default();
    assert_eq!(usual(180).decide(Memory::default(), &seen(0, 0, none)).0.wanted, 1);
    assert_eq!(usual(60).decide(Memory::default(), &seen(0, 0, none)).0.wanted, 0);
}

#[test]
fn workers_of_several_lanes_are_as_many_as_the_lane_that_wants_the_most() {
    let lanes = prop::collection::vec((policy(), observation()), 1..4);
    proptest!(cases(256), |(lanes in lanes, workers in workers())| {
        let mut each = vec![];
        for (policy, (_, seen)) in lanes {
            // One fleet has one bound, whichever lane it works for.
            let policy = Policy { workers_min: 0, workers_max: 50, ..policy };
            let seen = Observation { workers, ..seen };
            each.push(policy.decide(Memory::default(), &seen).0);
        }
        let together = Decision::together(each.iter().copied());
        for one in &each {
            prop_assert!(together.start >= one.start, "{together:?} {one:?}");
            prop_assert!(together.stop_idle <= one.stop_idle, "{together:?} {one:?}");
            prop_assert!(together.wanted >= one.wanted, "{together:?} {one:?}");
        }
        prop_assert!(together.start == 0 || together.stop_idle == 0);
        prop_assert!(each.iter().any(|one| one.wanted == together.wanted));
        prop_assert!(each.iter().any(|one| one.start == together.start));
        prop_assert!(each.len() > 1 || together == each[0]);
    });
    let nothing = Decision::together([]);
    assert_eq!(nothing, Decision { wanted: 0, start: 0, stop_idle: 0 });
}

/// Looks of one who does not see the workers.
fn backlogs() -> impl Strategy<Value = Vec<(u64, Backlog)>> {
    let backlog = observation().prop_map(|(passed, seen)| {
        let Observation { now, ready, in_flight, oldest_age, service, .. } = seen;
        (passed, Backlog { now, ready, in_flight, oldest_age, service })
    });
    prop::collection::vec(backlog, 1..20)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn who_asks_for_replicas_is_told_a_number_within_bounds_that_covers_what_is_held(
        policy in policy(),
        looks in backlogs(),
    ) {
        let (mut replicas, mut time) = (Replicas::default(), 0);
        for (passed, seen) in looks {
            time += passed;
            let seen = Backlog { now: at(time), ..seen };
            replicas = policy.replicas(replicas, &seen);
            let busy = seen.in_flight.div_ceil(policy.concurrency.max(1).into());
            let least = busy.max(policy.workers_min.into()).min(policy.workers_max.into());
            prop_assert!(u64::from(replicas.wanted()) >= least, "{replicas:?} {seen:?}");
            prop_assert!(replicas.wanted() <= policy.workers_max);
            if seen.ready > 0 && policy.workers_max > 0 {
                prop_assert!(replicas.wanted() > 0, "{seen:?}");
            }
        }
    }

    #[test]
    fn nothing_to_do_ends_in_as_many_replicas_as_are_always_kept(
        policy in policy(),
        looks in backlogs(),
    ) {
        let policy = Policy { target_wait: policy.boot, ..policy };
        let mut replicas = Replicas::default();
        for (_, seen) in looks {
            replicas = policy.replicas(replicas, &seen);
        }
        for look in 1..100 {
            let nothing = Backlog {
                now: at(look * 30),
                ready: 0,
                in_flight: 0,
                oldest_age: Duration::ZERO,
                service: ServiceTime { mean: Duration::from_secs(5), variation: 1.0 },
            };
            replicas = policy.replicas(replicas, &nothing);
        }
        prop_assert_eq!(replicas.wanted(), policy.workers_min.min(policy.workers_max));
    }
}
