//! Timeouts, retries, the breaker and places, each by itself, in paused time.

use super::scripted::{ASK, AWAY, Act, Scene, Script, TIMEOUT, scene};
use crate::call::{Once, Repeatable};
use futures::FutureExt;
use printmill_backend::{BackendError, Fault};
use std::time::Duration;
use tokio::time::Instant;

impl Scene {
    async fn once(&self, script: &Script) -> Result<(), BackendError> {
        self.backend.call(&ASK, Once(|| script.ask())).await
    }

    async fn repeatable(&self, script: &Script) -> Result<(), BackendError> {
        self.backend.call(&ASK, Repeatable(|| script.ask())).await
    }

    fn calls(&self, outcome: &str) -> Option<u64> {
        self.metric(&format!(
            "printmill_backend_calls_total{{backend=\"oracle\",operation=\"ask\",outcome=\"{outcome}\"}}"
        ))
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        self.metric(&format!(
            "printmill_backend_{name}{{backend=\"oracle\",compartment=\"calls\"}}"
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_over_in_time_and_not_repeated() {
    let (scene, script, begun) = (scene(), Script::always(Act::Hang), Instant::now());
    let error = scene.repeatable(&script).await.unwrap_err();
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!((script.begun(), script.ended()), (1, 1));
    assert!(error.retryable());
    let said = error.to_string();
    assert_eq!(said, "delphi failed to answer a question: it did not answer within 10 s");
    assert_eq!(scene.calls("timed_out"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_nearly_all_its_time_is_answered() {
    let (scene, begun) = (scene(), Instant::now());
    let almost = TIMEOUT - Duration::from_millis(1);
    scene.once(&Script::always(Act::After(almost))).await.unwrap();
    assert_eq!(begun.elapsed(), almost);
    assert_eq!(scene.calls("ok"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_passing_is_repeated_after_pauses() {
    let (scene, script, begun) = (scene(), Script::new([AWAY, AWAY], Act::Answer), Instant::now());
    scene.repeatable(&script).await.unwrap();
    assert_eq!(script.begun(), 3);
    let pauses = begun.elapsed().as_millis();
    assert!((150..=300).contains(&pauses), "{pauses} ms");
    let retries = "printmill_backend_retries_total{backend=\"oracle\",operation=\"ask\"}";
    assert_eq!(scene.metric(retries), Some(2));
    assert_eq!((scene.calls("ok"), scene.calls("failed")), (Some(1), None));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_tried_three_times_and_keeps_the_backends_own_words() {
    let (scene, script) = (scene(), Script::always(AWAY));
    let error = scene.repeatable(&script).await.unwrap_err();
    assert_eq!(script.begun(), 3);
    assert_eq!(error.detail, "the oracle is away");
    assert_eq!(scene.calls("failed"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_that_might_do_harm_or_cannot_help() {
    let (scene, script) = (scene(), Script::always(AWAY));
    scene.once(&script).await.unwrap_err();
    assert_eq!(script.begun(), 1);
    let answers = [Fault::Full, Fault::ReadOnly, Fault::NotFound, Fault::Corrupt, Fault::Rejected];
    for fault in answers {
        let script = Script::always(Act::Fail(fault));
        assert_eq!(scene.repeatable(&script).await.unwrap_err().fault, fault);
        assert_eq!(script.begun(), 1, "{fault:?}");
    }
    assert_eq!((scene.calls("refused"), scene.calls("failed")), (Some(2), Some(4)));
}

#[tokio::test(start_paused = true)]
async fn no_call_is_repeated_when_its_time_is_over() {
    let (scene, begun) = (scene(), Instant::now());
    let slowly = async |begun: Instant| {
        tokio::time::sleep_until(begun + Duration::from_secs(6)).await;
        Script::always(AWAY).ask().await
    };
    // The first attempt takes six seconds and the second six more.
    let error = scene.backend.call(&ASK, Repeatable(|| slowly(Instant::now()))).await;
    assert_eq!(error.unwrap_err().fault, Fault::Unavailable);
    assert_eq!(begun.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn when_most_calls_fail_few_are_repeated() {
    let scene = scene();
    let mut succeeded = 0;
    for _ in 0..100 {
        let script = Script::new([AWAY], Act::Answer);
        match scene.repeatable(&script).await {
            Ok(()) => succeeded += 1,
            Err(_) => break,
        }
    }
    assert!((10..=15).contains(&succeeded), "{succeeded}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_left_alone_and_tried_again() {
    let scene = scene();
    let script = Script::new([AWAY; 5], Act::Answer);
    for _ in 0..5 {
        scene.once(&script).await.unwrap_err();
    }
    let error = scene.once(&script).await.unwrap_err();
    assert_eq!(script.begun(), 5);
    assert_eq!(error.fault, Fault::Unavailable);
    assert_eq!(error.detail, "it is left alone for 1 s, since of late the oracle is away");
    assert_eq!(scene.calls("circuit_open"), Some(1));
    let state = "printmill_backend_circuit_state{backend=\"oracle\"}";
    assert_eq!(scene.metric(state), Some(2));
    assert_eq!(scene.metric("printmill_backend_circuit_opened_total{backend=\"oracle\"}"), Some(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(scene.metric(state), Some(1));
    scene.once(&script).await.unwrap();
    assert_eq!(scene.metric(state), Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_ends_the_retries_of_calls_under_way() {
    let (scene, script) = (scene(), Script::always(AWAY));
    scene.repeatable(&script).await.unwrap_err();
    let error = scene.repeatable(&script).await.unwrap_err();
    assert_eq!(script.begun(), 5);
    assert!(error.detail.starts_with("it is left alone for"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_answers_and_never_open_the_circuit() {
    let (scene, script) = (scene(), Script::always(Act::Fail(Fault::Full)));
    for _ in 0..50 {
        assert_eq!(scene.once(&script).await.unwrap_err().fault, Fault::Full);
    }
    assert_eq!(script.begun(), 50);
}

#[tokio::test(start_paused = true)]
async fn two_are_under_way_eight_wait_and_the_next_is_refused_at_once() {
    let (scene, script) = (scene(), Script::new([Act::Hang; 2], Act::Answer));
    let begun = Instant::now();
    let mut calls: Vec<_> = (0..10).map(|_| Box::pin(scene.once(&script))).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!(script.begun(), 2);
    assert_eq!((scene.gauge("in_flight"), scene.gauge("waiting")), (Some(2), Some(8)));
    let error = scene.once(&script).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(error.fault, Fault::Unavailable);
    assert_eq!(error.detail, "2 calls are under way, and 8 wait");
    assert_eq!(scene.calls("shed"), Some(1));
    // Who goes away, from inside or from the line, makes room.
    drop(calls.pop());
    drop(calls.remove(0));
    assert_eq!((scene.gauge("waiting"), scene.calls("dropped")), (Some(7), Some(2)));
    for call in calls.drain(1..) {
        call.await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(calls);
    assert_eq!((scene.gauge("in_flight"), scene.gauge("waiting")), (Some(0), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_longer_than_for_an_answer() {
    let (scene, script, begun) = (scene(), Script::always(Act::Hang), Instant::now());
    let hour = Duration::from_secs(3_600);
    let occupy = || scene.backend.call_within(&ASK, hour, 0, Once(|| script.ask()));
    let (mut one, mut two) = (Box::pin(occupy()), Box::pin(occupy()));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    let error = scene.once(&script).await.unwrap_err();
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(error.detail, "it had no time for it within 10 s");
    assert_eq!((script.begun(), scene.calls("shed")), (2, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_sort_leave_those_of_another_their_places() {
    let (scene, script) = (scene(), Script::new([Act::Hang; 2], Act::Answer));
    let (mut one, mut two) = (Box::pin(scene.once(&script)), Box::pin(scene.once(&script)));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    let other = scene.backend.call_within(&ASK, TIMEOUT, 1, Once(|| script.ask()));
    assert_eq!(other.now_or_never().map(|answer| answer.is_ok()), Some(true));
}
