//! Consumers: whatever fails and however often, each stream's events have their effect once and
//! in order; shards part all streams.

use chrono::TimeDelta;
use printmill_domain::Timestamp;
use printmill_domain::event::Shard;
use printmill_domain::ids::{Id, OrderId};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::subscription::{Consumer, EventFilter, HELD_MAX, lease};
use printmill_domain::ticket::RetryPolicy;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const TOKEN: u64 = 7;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).expect("a time")
}

fn problem() -> Problem {
    Problem::new(Code::Internal, "it cannot be", "look at it")
}

fn consumer() -> Consumer {
    let new = Consumer::new("test", Shard::WHOLE, EventFilter::default(), 0, now());
    let lease = lease("a", TOKEN, TimeDelta::seconds(10), now());
    new.claim(lease, EventFilter::default(), now()).expect("it is free")
}

proptest! {
    /// Each event has a stream and a number of times that it fails.
    #[test]
    fn streams_stay_in_order_whatever_fails(
        events in prop::collection::vec((0_u8..5, 0_u32..9), 1..60),
        retries in prop::collection::vec(any::<bool>(), 60),
    ) {
        let policy = RetryPolicy { failures_max: 6, ..RetryPolicy::default() };
        let (mut consumer, mut left) = (consumer(), events.clone());
        let mut applied: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let name = |stream: u8| format!("ord_{stream}");
        let retry = |consumer: Consumer, left: &mut [(u8, u32)], applied: &mut BTreeMap<String, Vec<u64>>| {
            let due = consumer.next_due().map(|(stream, held, _)| (stream.to_owned(), held.from));
            let Some((stream, from)) = due else { return consumer };
            for seq in from..=consumer.cursor {
                let (of, failures) = &mut left[seq as usize - 1];
                if name(*of) != stream {
                    continue;
                }
                if *failures > 0 {
                    *failures -= 1;
                    let through = consumer.recover(&stream, seq - 1, false);
                    // What it had before counts only when nothing of the stream went well since.
                    let before = if seq == from { &consumer } else { &through };
                    return before.hold(&stream, seq, problem(), &policy, 0, now()).unwrap();
                }
                applied.entry(stream.clone()).or_default().push(seq);
            }
            consumer.recover(&stream, consumer.cursor, true)
        };
        for (index, (of, _)) in events.iter().enumerate() {
            let (seq, stream) = (index as u64 + 1, name(*of));
            if !consumer.holds_back(&stream, seq) {
                let failures = &mut left[index].1;
                if *failures > 0 {
                    *failures -= 1;
                    consumer = consumer.hold(&stream, seq, problem(), &policy, 0, now()).unwrap();
                } else {
                    applied.entry(stream).or_default().push(seq);
                }
            }
            consumer = consumer.advance(TOKEN, seq).unwrap();
            if retries[index] {
                consumer = retry(consumer, &mut left, &mut applied);
            }
        }
        while consumer.next_due().is_some() {
            consumer = retry(consumer, &mut left, &mut applied);
        }
        for of in 0..5 {
            let all = events.iter().enumerate().filter(|(_, event)| event.0 == of);
            let until = all.clone().find(|(_, event)| event.1 >= policy.failures_max);
            let expected: Vec<u64> = all
                .map(|(index, _)| index as u64 + 1)
                .take_while(|seq| until.is_none_or(|(poison, _)| *seq <= poison as u64))
                .collect();
            prop_assert_eq!(applied.get(&name(of)).cloned().unwrap_or_default(), expected);
            let parked = consumer.held.get(&name(of)).map(|held| held.from);
            prop_assert_eq!(parked, until.map(|(poison, _)| poison as u64 + 1));
        }
    }

    #[test]
    fn each_stream_is_in_exactly_one_shard(stream: u128, count in 1..=Shard::COUNT_MAX) {
        let stream = OrderId::from_uuid(Uuid::from_u128(stream)).to_string();
        let shards = (0..count).filter_map(|index| Shard::new(index, count));
        prop_assert_eq!(shards.filter(|shard| shard.holds(&stream)).count(), 1);
    }
}

#[test]
fn shards_beyond_the_limit_or_the_count_do_not_exist() {
    assert_eq!(Shard::new(2, 2), None);
    assert_eq!(Shard::new(0, 0), None);
    assert_eq!(Shard::new(0, Shard::COUNT_MAX + 1), None);
}

#[test]
fn a_lease_is_taken_when_it_ran_out_and_only_its_holder_moves_the_cursor() {
    let held = consumer();
    let (later, filter) = (now() + TimeDelta::seconds(10), EventFilter::default());
    let other = lease("b", 8, TimeDelta::seconds(10), now());
    assert!(held.claim(other.clone(), filter.clone(), now()).is_err());
    let taken = held.claim(other, filter, later).unwrap();
    assert_eq!(taken.advance(TOKEN, 5).unwrap_err().code, Code::LeaseLost);
    assert_eq!(taken.advance(8, 5).unwrap().cursor, 5);
    assert_eq!(taken.advance(8, 5).unwrap().advance(8, 3).unwrap().cursor, 5, "never back");
    let replayed = taken.replay(2);
    assert_eq!((replayed.cursor, replayed.run, replayed.lease), (2, 2, None));
}

#[test]
fn when_too_many_streams_wait_no_more_are_blamed() {
    let (mut full, policy) = (consumer(), RetryPolicy::default());
    let hold = |consumer: &Consumer, seq: usize| {
        consumer.hold(&format!("ord_{seq}"), seq as u64, problem(), &policy, 0, now())
    };
    for seq in 0..HELD_MAX {
        full = hold(&full, seq).unwrap();
    }
    assert_eq!(hold(&full, HELD_MAX).unwrap_err().code, Code::Unavailable);
    assert_eq!(hold(&full, 3).unwrap().held["ord_3"].failures, 2, "one that waits may fail again");
}
