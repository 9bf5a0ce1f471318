//! The circuit's rules, by example and by property.

use super::*;
use proptest::prelude::*;

const RULES: Rules = Rules::USUAL;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn why() -> String {
    "no answer".into()
}

/// A circuit that opened at `now`.
fn opened(now: Duration) -> Circuit {
    let mut circuit = Circuit::new(RULES);
    let mut turn = None;
    for _ in 0..RULES.in_a_row {
        assert_eq!(turn, None);
        let admission = circuit.admit(now).unwrap();
        turn = circuit.failed(now, admission, why);
    }
    assert_eq!(turn, Some(Turn::Opened(RULES.pause)));
    circuit
}

#[test]
fn failures_in_a_row_open_it_however_slowly_they_come() {
    let mut circuit = Circuit::new(RULES);
    for n in 1..=RULES.in_a_row {
        let now = ms(60_000) * n;
        let admission = circuit.admit(now).unwrap();
        let turn = circuit.failed(now, admission, why);
        assert_eq!(turn.is_some(), n == RULES.in_a_row, "{n}");
    }
}

#[test]
fn a_success_in_between_begins_the_row_anew() {
    let mut circuit = Circuit::new(RULES);
    for n in 0..u64::from(RULES.calls) {
        let admission = circuit.admit(ms(n)).unwrap();
        // Fewer than half of them.
        let turn = match n % 3 {
            0 => circuit.failed(ms(n), admission, why),
            _ => circuit.succeeded(ms(n), admission),
        };
        assert_eq!(turn, None);
    }
    assert_eq!(circuit.condition(ms(100)), Condition::Closed);
}

#[test]
fn half_of_many_open_it_and_half_of_few_do_not() {
    let mut circuit = Circuit::new(RULES);
    for n in 0..RULES.calls {
        assert_eq!(circuit.condition(ms(5)), Condition::Closed, "after {n}");
        let admission = circuit.admit(ms(5)).unwrap();
        match n % 2 {
            0 => circuit.succeeded(ms(5), admission),
            _ => circuit.failed(ms(5), admission, why),
        };
    }
    assert_eq!(circuit.condition(ms(5)), Condition::Open);
}

#[test]
fn what_was_long_ago_is_not_counted() {
    let mut circuit = Circuit::new(RULES);
    for n in 0..10 * RULES.calls {
        let now = RULES.window * (n / (RULES.calls - 2));
        let admission = circuit.admit(now).unwrap();
        match n % 2 {
            0 => circuit.succeeded(now, admission),
            _ => circuit.failed(now, admission, why),
        };
        assert_eq!(circuit.condition(now), Condition::Closed, "after {n}");
    }
}

#[test]
fn open_it_refuses_with_the_reason_and_when_it_will_try() {
    let mut circuit = opened(ms(100));
    let refused = circuit.admit(ms(400)).unwrap_err();
    assert_eq!(refused, Refused { why: why(), again_in: ms(700) });
    assert_eq!(circuit.condition(ms(1_099)), Condition::Open);
    assert_eq!(circuit.condition(ms(1_100)), Condition::HalfOpen);
}

#[test]
fn one_may_try_in_each_pause_and_a_success_closes_it() {
    let mut circuit = opened(ms(0));
    let first = circuit.admit(ms(1_000)).unwrap();
    let refused = circuit.admit(ms(1_300)).unwrap_err();
    assert_eq!(refused.again_in, ms(700));
    // The first hangs, so another may try.
    let second = circuit.admit(ms(2_000)).unwrap();
    assert_eq!(circuit.succeeded(ms(2_010), second), Some(Turn::Closed));
    assert_eq!(circuit.condition(ms(2_010)), Condition::Closed);
    // What the first came to says nothing of the time after.
    assert_eq!(circuit.failed(ms(2_020), first, why), None);
}

#[test]
fn failed_tries_double_the_pause_up_to_the_longest() {
    let mut circuit = opened(ms(0));
    let mut now = ms(1_000);
    for pause in [2, 4, 5, 5] {
        let admission = circuit.admit(now).unwrap();
        let turn = circuit.failed(now, admission, why);
        assert_eq!(turn, Some(Turn::Opened(Duration::from_secs(pause))));
        now += Duration::from_secs(pause);
    }
    let admission = circuit.admit(now).unwrap();
    assert_eq!(circuit.succeeded(now, admission), Some(Turn::Closed));
    // The next time it begins with the shortest.
    for _ in 0..RULES.in_a_row {
        let admission = circuit.admit(now).unwrap();
        circuit.failed(now, admission, why);
    }
    assert_eq!(circuit.admit(now).unwrap_err().again_in, RULES.pause);
}

/// What happens next to a circuit.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Answer { which: usize, success: bool },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Ask),
        3 => (any::<prop::sample::Index>(), prop::bool::weighted(0.3))
            .prop_map(|(which, success)| Step::Answer { which: which.index(1_000), success }),
        2 => (0..4_000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: a refusal names a time no longer than the longest pause, and who asks
    /// again after that time may pass; while it is not closed, no more than one passes in a pause;
    /// and calls that began before it opened or closed do not move it.
    #[test]
    fn nobody_waits_for_ever(steps in prop::collection::vec(step(), 1..200)) {
        let mut circuit = Circuit::new(RULES);
        let mut now = Duration::ZERO;
        let mut under_way: Vec<Admission> = vec![];
        let mut tried_at = None;
        for step in steps {
            match step {
                Step::Wait(by) => now += ms(by),
                Step::Ask => {
                    let closed = circuit.condition(now) == Condition::Closed;
                    match circuit.admit(now) {
                        Ok(admission) => {
                            if !closed {
                                prop_assert!(tried_at.is_none_or(|at| now >= at + RULES.pause));
                                tried_at = Some(now);
                            }
                            under_way.push(admission);
                        }
                        Err(refused) => {
                            prop_assert!(!closed);
                            prop_assert!(!refused.why.is_empty());
                            prop_assert!(refused.again_in > Duration::ZERO);
                            prop_assert!(refused.again_in <= RULES.pause_max);
                            now += refused.again_in;
                            tried_at = Some(now);
                            under_way.push(circuit.admit(now).map_err(|refused| {
                                TestCaseError::fail(format!("refused again: {refused:?}"))
                            })?);
                        }
                    }
                }
                Step::Answer { which, success } if !under_way.is_empty() => {
                    let admission = under_way.swap_remove(which % under_way.len());
                    let (era, before) = (circuit.era, circuit.condition(now));
                    let turn = match success {
                        true => circuit.succeeded(now, admission),
                        false => circuit.failed(now, admission, why),
                    };
                    if admission.era != era {
                        prop_assert_eq!(turn.clone(), None);
                        prop_assert_eq!(before, circuit.condition(now));
                    }
                    match turn {
                        Some(Turn::Opened(_)) => {
                            prop_assert!(!success);
                            prop_assert_eq!(circuit.condition(now), Condition::Open);
                        }
                        Some(Turn::Closed) => {
                            prop_assert!(success);
                            prop_assert_eq!(circuit.condition(now), Condition::Closed);
                            tried_at = None;
                        }
                        None => {}
                    }
                }
                Step::Answer { .. } => {}
            }
        }
    }
}
