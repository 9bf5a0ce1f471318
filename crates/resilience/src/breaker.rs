//! The layer that leaves a backend alone which does not answer.

use crate::call::{Attempt, Failing};
use crate::circuit::{Admission, Circuit, Condition, Rules, Turn};
use crate::metrics::Outcome;
use crate::stack::{Call, told};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

/// The circuit breaker of a backend.
pub(crate) struct Breaker {
    role: &'static str,
    origin: Instant,
    circuit: Mutex<Circuit>,
}

impl Breaker {
    /// A closed one.
    pub(crate) fn new(role: &'static str) -> Self {
        Self { role, origin: Instant::now(), circuit: Mutex::new(Circuit::new(Rules::USUAL)) }
    }

    /// How it looks.
    pub(crate) fn condition(&self) -> Condition {
        self.circuit().condition(self.now())
    }

    /// Something that is part of no call was not answered. Whether the circuit opened.
    pub(crate) fn failed_aside(&self, why: &str) -> bool {
        let mut circuit = self.circuit();
        let admission = circuit.aside();
        let turn = circuit.failed(self.now(), admission, || why.to_owned());
        drop(circuit);
        self.tell(turn, why)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn record<T, E: Failing>(&self, admission: Admission, answer: &Result<T, E>) -> bool {
        match answer {
            Err(error) if error.unanswered() => {
                let turn = self.circuit().failed(self.now(), admission, || error.detail());
                match turn {
                    Some(_) => self.tell(turn, &error.detail()),
                    None => false,
                }
            }
            _ => {
                let turn = self.circuit().succeeded(self.now(), admission);
                self.tell(turn, "")
            }
        }
    }

    /// Tells operators; whether the circuit opened.
    fn tell(&self, turn: Option<Turn>, why: &str) -> bool {
        let backend = self.role;
        match turn {
            None => false,
            Some(Turn::Closed) => {
                tracing::info!(backend, "backend answers again");
                false
            }
            Some(Turn::Opened(pause)) => {
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(backend, pause_ms, why, "backend is left alone for a while");
                true
            }
        }
    }
}

/// Asks the breaker before each attempt, and tells it what came of it.
#[derive(Clone, Copy)]
pub(crate) struct Breaking<'a, S> {
    pub(crate) inner: S,
    pub(crate) call: &'a Call<'a>,
}

impl<'a, S, A> Service<A> for Breaking<'a, S>
where
    S: Service<A, Response = A::Answer, Error = A::Error>,
    A: Attempt,
{
    type Response = A::Answer;
    type Error = A::Error;
    type Future = Broken<'a, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: A) -> Self::Future {
        let breaker = &self.call.backend.breaker;
        let admitted = breaker.circuit().admit(breaker.now());
        match admitted {
            Ok(admission) => {
                Broken::Admitted { attempt: self.inner.call(attempt), admission, call: self.call }
            }
            Err(refused) => {
                let again_in = told(refused.again_in);
                let detail =
                    format!("it is left alone for {again_in}, since of late {}", refused.why);
                Broken::Refused { detail: Some(detail), call: self.call }
            }
        }
    }
}

pin_project! {
    /// An attempt that was let through, or not.
    #[project = BrokenProjection]
    pub(crate) enum Broken<'a, F> {
        Admitted {
            #[pin]
            attempt: F,
            admission: Admission,
            call: &'a Call<'a>,
        },
        Refused { detail: Option<String>, call: &'a Call<'a> },
    }
}

impl<T, E, F> Future for Broken<'_, F>
where
    F: Future<Output = Result<T, E>>,
    E: Failing,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            BrokenProjection::Admitted { attempt, admission, call } => {
                let answer = ready!(attempt.poll(context));
                if call.backend.breaker.record(*admission, &answer) {
                    call.backend.metrics.opened.inc();
                }
                Poll::Ready(answer)
            }
            BrokenProjection::Refused { detail, call } => {
                let detail = detail.take().unwrap_or_default();
                Poll::Ready(Err(call.stopped(Outcome::CircuitOpen, detail)))
            }
        }
    }
}
