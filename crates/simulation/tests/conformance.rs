//! The simulated database and queue keep their contracts when nothing goes wrong, and the queue
//! keeps what it must when every message is there twice.

use libtest_mimic::Trial;
use printmill_backend::Queue;
use printmill_conformance::{Subject, database_trials, queue_trials};
use printmill_simulation::calm::Calm;

/// What holds of a queue although every message is in it twice.
const WITH_DUPLICATES: [&str; 15] = [
    "::lanes::a_message_stays_in_its_lane",
    "::lanes::ensuring_a_lane_again_is_harmless",
    "::leases::delivered_again_when_it_is_released",
    "::delays::a_delayed_message_is_not_delivered_before",
    "::per_item::nothing_to_send_is_no_error",
    "::per_item::sending_again_is_always_right",
    "::refusals::a_delay_beyond_the_longest_is_not_sent",
    "::refusals::a_lease_beyond_the_longest_takes_nothing",
    "::refusals::a_payload_beyond_the_largest_is_not_sent",
    "::refusals::an_extension_beyond_the_longest_lease_changes_nothing",
    "::waiting::returns_as_soon_as_there_is_a_message",
    "::waiting::returns_at_once_without_a_wait",
    "::waiting::returns_empty_after_the_wait",
    "::waiting::takes_no_more_than_asked",
    "::wiping::old_receipts_are_no_failure",
];

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = database_trials("simulation", async || {
        let calm = Calm::new()?;
        let beside = calm.clone();
        let subject = Subject::of(calm.database());
        Ok(subject.opened_by(move || std::future::ready(Ok(beside.database()))))
    });
    trials.extend(queue_trials("simulation", async || Ok(queue(Calm::new()?))));
    let twice = queue_trials("duplicates", async || Ok(queue(Calm::with_duplicates()?)));
    let holds = |trial: &Trial| WITH_DUPLICATES.iter().any(|case| trial.name().ends_with(case));
    let twice: Vec<Trial> = twice.into_iter().filter(holds).collect();
    assert_eq!(twice.len(), WITH_DUPLICATES.len(), "cases have other names now");
    trials.extend(twice);
    libtest_mimic::run(&arguments, trials).exit();
}

fn queue(calm: Calm) -> Subject<dyn Queue> {
    let (beside, store) = (calm.clone(), calm.clone());
    let subject = Subject::of(calm.queue());
    let subject = subject.opened_by(move || std::future::ready(Ok(beside.queue())));
    subject.wiped_by(move || {
        store.wipe();
        std::future::ready(Ok(store.queue()))
    })
}
