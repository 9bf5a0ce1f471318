//! Consumers of the log: each event has its effect once and in order, whoever crashes, races, fails or is slow. In paused time.

use crate::link::Link;
use crate::readers::{
    Reader, consumers, happen, happen_in, problem, refused, start, start_sequencer, start_through,
    stored, stream, until_written, written,
};
use crate::site::{Running, Site, merchant, pass};
use printmill_backend::DatabaseExt;
use printmill_backend::database::Scope;
use printmill_domain::event_count::EventCount;
use printmill_domain::problem::Code;
use printmill_domain::subscription::EventFilter;
use printmill_engine::event_counter::EventCounter;
use printmill_engine::subscription::{Failure, From, SubscriptionMetrics, Subscriptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn every_event_has_its_effect_once_and_streams_stay_in_order() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    happen_in(&site, 1..20, 30).await;
    let mut reader = Reader::new(&site.database);
    reader.shards = 4;
    let running = start(&site, "a", &reader);
    until_written(&site, 1..20, 30).await;
    happen_in(&site, 20..22, 3).await;
    until_written(&site, 20..22, 3).await;
    assert_eq!(reader.keys().len(), 19 * 30 + 6, "nothing came twice");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_effect_and_cursor_changes_nothing() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let reader = Reader::new(&site.database);
    for round in 0..12 {
        for number in 1..6 {
            happen(&site, number, round + 1, "order.tested").await;
        }
        // Commits are under way for a while; some crashes hit one before it happens, some after.
        let slow = Link::slow(&site.database, Duration::from_millis(40));
        let running = start_through(&site, slow, "a", &reader);
        tokio::time::sleep(Duration::from_millis(90 + 17 * round)).await;
        running.crash().await;
        pass(11).await;
    }
    let running = start(&site, "b", &reader);
    until_written(&site, 1..6, 12).await;
    assert!(reader.keys().len() > 60, "some effects were worked out, and lost with the crash");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_holders_one_works_and_the_other_takes_over() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let mut reader = Reader::new(&site.database);
    // Longer than a lease: heartbeats keep it.
    reader.takes = Duration::from_secs(25);
    let both = [start(&site, "a", &reader), start(&site, "b", &reader)];
    happen_in(&site, 1..4, 5).await;
    until_written(&site, 1..4, 5).await;
    happen(&site, 9, 1, "order.tested").await;
    until_written(&site, 9..10, 1).await;
    assert_eq!(reader.busy.1.load(Ordering::SeqCst), 1, "never both at the same time");
    let [a, b] = both;
    let first = stored(&site).await.lease.expect("somebody holds it").holder;
    let (holder, other) = if first == "a" { (a, b) } else { (b, a) };
    holder.crash().await;
    happen(&site, 9, 2, "order.tested").await;
    until_written(&site, 9..10, 2).await;
    assert_ne!(stored(&site).await.lease.expect("the other holds it").holder, first);
    assert_eq!(reader.keys().len(), 17, "nothing came twice");
    other.stop().await;
    assert_eq!(stored(&site).await.lease, None, "who leaves lets go");
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_parks_its_stream_and_nobody_elses() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let poison = stream(3);
    let reader = Reader::new(&site.database).acting(move |delivery| {
        let draft = &delivery.event.draft;
        if draft.stream == poison && draft.sequence == 3 { Err(refused()) } else { Ok(()) }
    });
    let running = start(&site, "a", &reader);
    happen_in(&site, 1..6, 6).await;
    until_written(&site, 1..3, 6).await;
    until_written(&site, 4..6, 6).await;
    assert_eq!(written(&site, 3).await, [1, 2], "up to the poison");
    pass(300).await;
    let parked = stored(&site).await;
    assert_eq!((parked.parked(), parked.held.len(), parked.cursor), (1, 1, 30));
    let held = &parked.held[&stream(3)];
    assert_eq!((held.failures, held.due_at, &held.problem), (6, None, &problem()));
    // Later events of the stream wait as well, and others still pass.
    happen(&site, 3, 7, "order.tested").await;
    happen(&site, 5, 7, "order.tested").await;
    until_written(&site, 5..6, 7).await;
    assert_eq!(written(&site, 3).await, [1, 2]);
    // A person tries again, which parks it again, and then gives the event up.
    consumers(&site).resume("reader", &stream(3), false).await.unwrap();
    pass(300).await;
    assert_eq!(stored(&site).await.parked(), 1);
    consumers(&site).resume("reader", &stream(3), true).await.unwrap();
    pass(10).await;
    assert_eq!(written(&site, 3).await, [1, 2, 4, 5, 6, 7], "all but the poison, in order");
    assert!(stored(&site).await.held.is_empty());
    let unknown = consumers(&site).resume("reader", &stream(3), true).await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_failed_for_a_while_comes_back_whole_and_in_order() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let (failures, sick) = (Arc::new(AtomicU32::new(0)), stream(2));
    let reader = Reader::new(&site.database).acting(move |delivery| {
        let draft = &delivery.event.draft;
        let fails = draft.stream == sick
            && draft.sequence == 2
            && failures.fetch_add(1, Ordering::SeqCst) < 12;
        if fails { panic!("not today") } else { Ok(()) }
    });
    let running = start(&site, "a", &reader);
    for sequence in 1..=8 {
        for number in 1..4 {
            happen(&site, number, sequence, "order.tested").await;
        }
        pass(1).await;
    }
    until_written(&site, 1..4, 8).await;
    pass(1).await;
    assert!(stored(&site).await.held.is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_what_all_need_is_away_everything_waits_and_nothing_is_blamed() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let away = Arc::new(AtomicU32::new(1));
    let gate = away.clone();
    let reader = Reader::new(&site.database).acting(move |_| {
        if gate.load(Ordering::SeqCst) == 1 { Err(Failure::Away(problem())) } else { Ok(()) }
    });
    let running = start(&site, "a", &reader);
    happen_in(&site, 1..4, 4).await;
    pass(600).await;
    let waiting = stored(&site).await;
    assert_eq!((waiting.cursor, waiting.held.len()), (0, 0));
    assert!(reader.keys().len() < 12 * 60, "it pauses in between");
    away.store(0, Ordering::SeqCst);
    until_written(&site, 1..4, 4).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_slows_nobody() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let quick = Reader::new(&site.database);
    let slow = Reader { name: "slow", takes: Duration::from_secs(50), ..quick.clone() };
    let slow = slow.acting(|_| Err(refused()));
    let metrics = SubscriptionMetrics::register(&prometheus::Registry::new()).unwrap();
    let both = Subscriptions::new(site.database.clone(), site.clock.clone(), metrics, "a");
    let both = both.with(slow).with(quick);
    let running = Running::start(|stop| both.run(stop));
    let begun = site.now();
    happen_in(&site, 1..10, 10).await;
    until_written(&site, 1..10, 10).await;
    assert!((site.now() - begun).num_seconds() < 2, "{}", site.now() - begun);
    running.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_begins_anew_from_a_place_or_a_time() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let reader = Reader::new(&site.database);
    let running = start(&site, "a", &reader);
    happen_in(&site, 1..2, 3).await;
    pass(60).await;
    let later = site.now();
    happen(&site, 1, 4, "order.tested").await;
    happen(&site, 1, 5, "order.tested").await;
    pass(60).await;
    assert_eq!(written(&site, 1).await, [1, 2, 3, 4, 5]);
    consumers(&site).replay("reader", From::Seq(2)).await.unwrap();
    pass(20).await;
    assert_eq!(written(&site, 1).await, [1, 2, 3, 4, 5, 3, 4, 5]);
    consumers(&site).replay("reader", From::Time(later)).await.unwrap();
    pass(20).await;
    assert_eq!(written(&site, 1).await, [1, 2, 3, 4, 5, 3, 4, 5, 4, 5]);
    // An effect outside of the commit can tell a replay from a second try.
    let keys = reader.keys();
    assert_eq!(keys[3..6], ["reader/1/4", "reader/1/5", "reader/2/3"]);
    assert_eq!(keys[8..], ["reader/3/4", "reader/3/5"]);
    let beyond = consumers(&site).replay("reader", From::Seq(6)).await.unwrap_err();
    assert_eq!(beyond.code, Code::InvalidArgument);
    let unknown = consumers(&site).replay("nobody", From::Seq(0)).await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_passes_what_is_not_wanted_and_the_cursor_is_kept_all_the_same() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let mut reader = Reader::new(&site.database);
    reader.filter = EventFilter { kinds: vec!["order.wanted".into()], stream_kinds: vec![] };
    let running = start(&site, "a", &reader);
    happen_in(&site, 1..3, 700).await;
    pass(5).await;
    assert!(stored(&site).await.cursor >= 1_000, "long stretches are stored");
    happen(&site, 7, 1, "order.wanted").await;
    until_written(&site, 7..8, 1).await;
    assert_eq!((reader.keys().len(), stored(&site).await.cursor), (1, 1_401));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_are_counted_by_day_and_kind_and_a_replay_counts_nothing_twice() {
    let site = Site::new();
    let _sequencer = start_sequencer(&site);
    let metrics = SubscriptionMetrics::register(&prometheus::Registry::new()).unwrap();
    let counting = Subscriptions::new(site.database.clone(), site.clock.clone(), metrics, "a")
        .with(EventCounter::new(site.database.clone()));
    let running = Running::start(|stop| counting.run(stop));
    let today = site.now().date_naive();
    happen(&site, 1, 1, "order.placed").await;
    happen(&site, 2, 1, "order.placed").await;
    happen(&site, 2, 2, "order.paid").await;
    pass(24 * 60 * 60).await;
    let tomorrow = site.now().date_naive();
    happen(&site, 1, 2, "order.paid").await;
    pass(10).await;
    consumers(&site).replay(EventCounter::NAME, From::Seq(0)).await.unwrap();
    pass(60).await;
    for (day, expected) in [
        (today, vec![("order.paid".to_owned(), 1), ("order.placed".to_owned(), 2)]),
        (tomorrow, vec![("order.paid".to_owned(), 1)]),
    ] {
        let id = EventCount::id_of(merchant(), day);
        let scope = Scope::Merchant(merchant());
        let found = site.database.find::<EventCount>(scope, &id).await.unwrap().unwrap();
        assert_eq!(found.counts.clone().into_iter().collect::<Vec<_>>(), expected, "{day}");
    }
    running.stop().await;
}
