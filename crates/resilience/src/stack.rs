//! The tower stack that every call goes through.

use crate::backend::Backend;
use crate::breaker::Breaking;
use crate::bulkhead::{Bulkhead, Compartment};
use crate::call::{Attempt, Failing, Operation};
use crate::metrics::Outcome;
use crate::repeats::Repeats;
use crate::timeout::Timed;
use printmill_backend::{BackendError, Fault};
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::retry::RetryLayer;
use tower::{Service, ServiceBuilder, ServiceExt};

/// A call under way: what all layers of its stack know of it.
pub(crate) struct Call<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) operation: &'static Operation,
    /// How long each attempt may take.
    pub(crate) limit: Duration,
    pub(crate) compartment: &'a Compartment,
    begun: Instant,
    /// The outcome by which a layer ended the last attempt; `Ok` if none did.
    stopped: AtomicU8,
    ended: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        backend: &'a Backend,
        operation: &'static Operation,
        limit: Duration,
        compartment: &'a Compartment,
    ) -> Self {
        let (begun, stopped) = (Instant::now(), AtomicU8::new(Outcome::Ok as u8));
        Self { backend, operation, limit, compartment, begun, stopped, ended: false }
    }

    /// Sends it through the stack. The layers hold references, so that a stack is made for each call
    /// without allocating or counting anything.
    pub(crate) async fn make<A: Attempt>(mut self, attempt: A) -> Result<A::Answer, A::Error> {
        let call = &self;
        let stack = ServiceBuilder::new()
            .layer(layer_fn(|inner| Bulkhead { inner, call }))
            .layer(RetryLayer::new(Repeats::new(call)))
            .layer(layer_fn(|inner| Breaking { inner, call }))
            .layer(layer_fn(|inner| Timed { inner, call }))
            .service(Begin);
        let answer = stack.oneshot(attempt).await;
        let outcome = match &answer {
            Ok(_) => Outcome::Ok,
            Err(error) => self.outcome(error),
        };
        self.ended = true;
        self.record(outcome);
        answer
    }

    /// How long it has been under way.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The error with which a layer ends the call or an attempt of it.
    pub(crate) fn stopped<E: Failing>(&self, outcome: Outcome, detail: String) -> E {
        self.stopped.store(outcome as u8, Ordering::Relaxed);
        E::of(self.backend.unavailable(self.operation.doing, detail))
    }

    /// Whether a layer ended the last attempt.
    pub(crate) fn was_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) != Outcome::Ok as u8
    }

    fn outcome(&self, error: &impl Failing) -> Outcome {
        let stopped = self.stopped.load(Ordering::Relaxed);
        let by_a_layer = [Outcome::TimedOut, Outcome::Shed, Outcome::CircuitOpen];
        match by_a_layer.into_iter().find(|outcome| *outcome as u8 == stopped) {
            Some(outcome) => outcome,
            None => match error.fault() {
                None | Some(Fault::NotFound | Fault::Rejected) => Outcome::Refused,
                Some(_) => Outcome::Failed,
            },
        }
    }

    fn record(&self, outcome: Outcome) {
        let seconds = self.elapsed().as_secs_f64();
        self.backend.metrics.ended(self.operation, outcome, seconds);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.record(Outcome::Dropped);
        }
    }
}

/// How long something is, for people.
pub(crate) fn told(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis().max(1)),
        _ => format!("{:.0} s", duration.as_secs_f64()),
    }
}

/// The innermost service: begins an attempt.
#[derive(Clone, Copy)]
struct Begin;

impl<A: Attempt> Service<A> for Begin {
    type Response = A::Answer;
    type Error = A::Error;
    type Future = A::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: A) -> A::Future {
        attempt.begin()
    }
}

/// A failure of the backend that was seen beside any call, as in the middle of a stream.
pub(crate) fn stalled(backend: &Backend, operation: &'static Operation) -> BackendError {
    let detail = format!("nothing came for {}", told(backend.timeout));
    let error = backend.unavailable(operation.doing, detail);
    if backend.breaker.failed_aside(&error.detail) {
        backend.metrics.opened.inc();
    }
    backend.metrics.ended(operation, Outcome::TimedOut, backend.timeout.as_secs_f64());
    error
}
