//! The layer that lets no attempt take longer than its call allows.
//!
//! Tower's own has one limit for all requests, and hides what kind of error the service has.

use crate::call::{Attempt, Failing};
use crate::metrics::Outcome;
use crate::stack::{Call, told};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower::Service;

/// Limits each attempt.
#[derive(Clone, Copy)]
pub(crate) struct Timed<'a, S> {
    pub(crate) inner: S,
    pub(crate) call: &'a Call<'a>,
}

impl<'a, S, A> Service<A> for Timed<'a, S>
where
    S: Service<A, Response = A::Answer, Error = A::Error>,
    A: Attempt,
{
    type Response = A::Answer;
    type Error = A::Error;
    type Future = Limited<'a, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: A) -> Self::Future {
        let limit = tokio::time::sleep(self.call.limit);
        Limited { attempt: self.inner.call(attempt), limit, call: self.call }
    }
}

pin_project! {
    /// An attempt with a limit.
    pub(crate) struct Limited<'a, F> {
        #[pin]
        attempt: F,
        #[pin]
        limit: Sleep,
        call: &'a Call<'a>,
    }
}

impl<T, E, F> Future for Limited<'_, F>
where
    F: Future<Output = Result<T, E>>,
    E: Failing,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.attempt.poll(context) {
            return Poll::Ready(answer);
        }
        ready!(this.limit.poll(context));
        let detail = format!("it did not answer within {}", told(this.call.limit));
        Poll::Ready(Err(this.call.stopped(Outcome::TimedOut, detail)))
    }
}
