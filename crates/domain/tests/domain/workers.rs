//! Random lives of workers: what operators want, what workers report, in any order.

use crate::cases;
use crate::fixtures::at;
use crate::history::stored_and_read;
use printmill_domain::ids::{Id, KeyId, TicketId, WorkerId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::TicketState;
use printmill_domain::ticket_end::CANCEL;
use printmill_domain::worker::{
    Announcement, CONCURRENCY_MAX, HEED, LISTED_MAX, LaneSteering, Running, Steering, Worker,
    WorkerLane,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use uuid::Uuid;

fn lanes() -> [Lane; 3] {
    [Lane::express(), Lane::inspect(), Lane::render()]
}

fn worker() -> Worker {
    let id = WorkerId::from_uuid(Uuid::from_u128(7 << 90));
    let served = vec![WorkerLane::new(Lane::express(), 16), WorkerLane::new(Lane::render(), 2)];
    Worker::begin(id, "host".into(), 7, "0.1.0".into(), served, at(0))
}

fn running(count: usize) -> Vec<Running> {
    (0..count)
        .map(|number| Running {
            since: at(1_000 - number as i64),
            ticket: TicketId::from_uuid(Uuid::from_u128(number as u128)),
            kind: "item.render".into(),
            lane: Lane::render(),
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Steer(Steering),
    Report(usize),
    Leave,
    Wait(i64),
}

fn steering() -> impl Strategy<Value = Steering> {
    let lane = prop::sample::select(lanes().to_vec());
    let change = (lane, any::<Option<bool>>(), prop::option::of(0..400_u16))
        .prop_map(|(lane, paused, concurrency)| LaneSteering { lane, paused, concurrency });
    (any::<Option<bool>>(), prop::collection::vec(change, 0..3))
        .prop_map(|(draining, lanes)| Steering { draining, lanes })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => steering().prop_map(Step::Steer),
        3 => (0..50_usize).prop_map(Step::Report),
        1 => Just(Step::Leave),
        3 => (0..400_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn what_is_wanted_and_what_is_reported_never_disturb_each_other(steps in steps()) {
        let (mut worker, mut now, mut tickets) = (worker(), 0, BTreeSet::new());
        for step in steps {
            let before = worker.clone();
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Report(count) => {
                    worker = worker.report(running(count), at(now));
                    prop_assert_eq!(worker.heeded, worker.revision);
                    prop_assert_eq!(worker.running_count as usize, count);
                    prop_assert_eq!(worker.running.len(), count.min(LISTED_MAX));
                    prop_assert!(worker.running.is_sorted(), "the longest running first");
                    let wanted = (&worker.lanes, worker.draining, worker.revision);
                    prop_assert_eq!(wanted, (&before.lanes, before.draining, before.revision));
                    prop_assert!(!worker.gone && !worker.is_silent(at(now)));
                }
                Step::Leave => {
                    worker = worker.leave(at(now));
                    prop_assert!(worker.gone && worker.running_count == 0);
                    let refusal = worker.steer(&Steering::default(), at(now)).unwrap_err();
                    prop_assert_eq!(refusal.code, Code::InvalidState);
                }
                Step::Steer(wish) => {
                    let good = !before.gone && wish.lanes.iter().all(|lane| {
                        before.limit(&lane.lane).is_some()
                            && lane.concurrency.is_none_or(|it| it <= CONCURRENCY_MAX)
                    });
                    let steered = worker.steer(&wish, at(now));
                    prop_assert_eq!(steered.is_ok(), good);
                    let Ok(steered) = steered else { continue };
                    worker = steered.state;
                    let changed = worker != before;
                    prop_assert_eq!(worker.revision, before.revision + u64::from(changed));
                    prop_assert_eq!(worker.heeded, before.heeded, "it has not heard of it yet");
                    prop_assert_eq!(worker.seen_at, before.seen_at);
                    let told = changed && !worker.is_silent(at(now));
                    prop_assert_eq!(steered.tickets.len(), if told { 2 } else { 0 });
                    for ticket in steered.tickets {
                        prop_assert!(tickets.insert(ticket.id), "each command has its own ticket");
                    }
                    let again = worker.steer(&wish, at(now)).unwrap();
                    prop_assert!(again.state == worker && again.tickets.is_empty());
                }
            }
            for lane in lanes() {
                let limit = worker.limit(&lane);
                prop_assert!(limit.is_none_or(|limit| limit <= CONCURRENCY_MAX));
                prop_assert!(!worker.draining || limit.is_none_or(|limit| limit == 0));
            }
            prop_assert_eq!(&stored_and_read(&worker), &worker);
        }
    }

    #[test]
    fn resuming_gives_back_what_draining_took(wishes in prop::collection::vec(steering(), 0..6)) {
        let mut before = worker();
        for wish in wishes {
            before = before.steer(&wish, at(0)).map_or(before, |steered| steered.state);
        }
        let wish = |draining| Steering { draining: Some(draining), lanes: vec![] };
        let open = before.steer(&wish(false), at(1)).unwrap().state;
        let drained = open.steer(&wish(true), at(1)).unwrap().state;
        let resumed = drained.steer(&wish(false), at(2)).unwrap().state;
        prop_assert_eq!(resumed.lanes, open.lanes);
        prop_assert_eq!(resumed.draining, open.draining);
    }
}

#[test]
fn a_commands_ticket_goes_to_the_workers_own_lane_and_is_taken_back_after_a_minute() {
    let worker = worker();
    let wish = Steering { draining: Some(true), lanes: vec![] };
    let tickets = worker.steer(&wish, at(100)).unwrap().tickets;
    let [heed, forget] = tickets.as_slice() else { panic!("{tickets:?}") };
    assert_eq!((heed.kind.as_str(), &heed.lane), (HEED, &Lane::worker(&worker.id)));
    assert!(Lane::parse(heed.lane.as_str()).is_some(), "a name that all brokers accept");
    assert_eq!((forget.kind.as_str(), forget.due_at), (CANCEL, at(160)));
    assert_eq!(forget.payload["ticket"], heed.id.to_string());
    let why = serde_json::from_value(forget.payload["why"].clone()).unwrap();
    assert_eq!(heed.cancel(why, at(160)).unwrap().state, TicketState::Cancelled);
}

#[test]
fn reports_come_every_ten_seconds_with_work_and_every_minute_without() {
    let idle = worker().report(vec![], at(0));
    let due = |worker: &Worker, running: &[Running]| {
        (0..200).find(|seconds| worker.report_is_due(running, at(*seconds)))
    };
    assert_eq!(due(&idle, &[]), Some(59));
    assert_eq!(due(&idle, &running(1)), Some(10));
    let busy = idle.report(running(1), at(0));
    assert_eq!((due(&busy, &running(1)), due(&busy, &[])), (Some(10), Some(10)));
    let wish = Steering { draining: Some(true), lanes: vec![] };
    let steered = idle.steer(&wish, at(0)).unwrap().state;
    assert_eq!(due(&steered, &[]), Some(0), "it says at once that it acted");
    assert!(idle.report_is_due(&[], at(-1)), "also when the clock went back");
    assert!(!idle.is_silent(at(180)) && idle.is_silent(at(181)));
}

fn announcement(lanes: &[(Lane, u16)]) -> Announcement {
    let lanes = lanes.iter().map(|(lane, most)| WorkerLane::new(lane.clone(), *most)).collect();
    Announcement { name: "gpu-7".into(), version: "3".into(), lanes, kinds: vec!["a.b".into()] }
}

#[test]
fn a_worker_outside_that_comes_back_keeps_what_is_wanted_of_it() {
    let id = WorkerId::from_uuid(Uuid::from_u128(7 << 90));
    let key = KeyId::from_uuid(Uuid::from_u128(8 << 90));
    let first = announcement(&[(Lane::express(), 4), (Lane::render(), 2)]);
    let worker = Worker::announce(id, key, first, at(0));
    let lane = LaneSteering { lane: Lane::render(), paused: Some(true), concurrency: Some(9) };
    let steered = worker.steer(&Steering { draining: None, lanes: vec![lane] }, at(1)).unwrap();
    assert!(steered.tickets.is_empty(), "it has no lane of its own");
    let left = steered.state.leave(at(2));
    let again =
        left.announce_again(announcement(&[(Lane::render(), 3), (Lane::inspect(), 1)]), at(3));
    assert!(!again.gone && again.seen_at == at(3));
    assert_eq!(again.outside, worker.outside);
    let lanes: Vec<_> = again
        .lanes
        .iter()
        .map(|it| (it.lane.clone(), it.configured, it.concurrency(), it.paused))
        .collect();
    assert_eq!(lanes, [(Lane::render(), 3, 9, true), (Lane::inspect(), 1, 1, false)]);
    assert_eq!(stored_and_read(&again), again);
}

proptest! {
    #![proptest_config(cases(500))]

    /// Whatever revision it names, and however often it reports.
    #[test]
    fn a_worker_outside_never_acts_on_more_than_is_wanted(
        reports in prop::collection::vec((any::<u64>(), 0..40_usize, 0..9_i64), 1..20),
    ) {
        let id = WorkerId::from_uuid(Uuid::from_u128(7 << 90));
        let key = KeyId::from_uuid(Uuid::from_u128(8 << 90));
        let mut worker = Worker::announce(id, key, announcement(&[(Lane::render(), 2)]), at(0));
        let mut now = 0;
        for (step, (revision, count, wait)) in reports.into_iter().enumerate() {
            now += wait;
            let wish = Steering { draining: Some(step % 2 == 0), lanes: vec![] };
            worker = worker.steer(&wish, at(now)).unwrap().state;
            let next = worker.report_outside(running(count), revision % 30, at(now));
            prop_assert!(worker.heeded <= next.heeded && next.heeded <= next.revision);
            prop_assert_eq!(next.running_count as usize, count);
            let soon = next.seen_at + (at(2) - at(0));
            let again = next.report_outside(running(count), revision % 30, soon);
            prop_assert_eq!(&again, &next, "the same soon again is no news");
            let later = next.seen_at + (at(3) - at(0));
            let reported = next.report_outside(running(count), revision % 30, later);
            prop_assert_eq!(reported.seen_at, later);
            worker = next;
        }
    }
}
