//! What the model finds: each safeguard is switched off, and must be missed soon.

use printmill_simulation::{Run, Without, seeds, simulate};

/// How many seeds it may take.
const SEEDS: u64 = 200;

/// A safeguard is missed: a seed shows what comes of that. It is well with the safeguard, and fails
/// again without.
fn assert_missed(without: Without, what: &str) {
    let shows = |run: &Run| run.findings.iter().any(|finding| finding.contains(what));
    let failed = seeds::first(1..SEEDS + 1, Some(without), shows).unwrap();
    let failed = failed.unwrap_or_else(|| panic!("{SEEDS} seeds do not show: {what}"));
    assert_eq!(simulate(failed.seed, None).unwrap().findings, [""; 0]);
    let again = simulate(failed.seed, Some(without)).unwrap();
    assert_eq!((again.digest(), &again.findings), (failed.digest(), &failed.findings));
}

#[test]
fn without_the_fence_who_lost_a_ticket_moves_it_on() {
    assert_missed(Without::Fence, " was moved on by attempt ");
}

#[test]
fn without_the_reconciler_work_is_lost_with_the_queue() {
    assert_missed(Without::Reconciler, "never came to an end");
}

#[test]
fn without_request_records_a_repeated_request_has_a_second_effect() {
    assert_missed(Without::RequestRecords, "are of one request");
}

#[test]
fn without_guards_of_ticks_a_tick_has_two_runs() {
    assert_missed(Without::TickGuards, "was ticketed 2 times for");
}

#[test]
fn without_making_up_for_missed_ticks_runs_are_missing() {
    assert_missed(Without::MissedTicks, ": it was given up");
}

#[test]
fn without_atomic_commits_events_are_not_counted() {
    assert_missed(Without::Atomicity, " were counted on ");
}

#[test]
fn without_limits_more_is_handed_out_than_may_be() {
    assert_missed(Without::Limits, " out at once, beyond ");
}

#[test]
fn without_acting_on_what_is_wanted_a_drained_worker_takes_more() {
    assert_missed(Without::Steering, ", and knew it should take 0");
}
