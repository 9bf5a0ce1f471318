//! The policy by which tower repeats calls: where a repeat does no harm, soon, and not too often.

use crate::call::{Attempt, Failing};
use crate::stack::Call;
use std::time::Duration;
use tokio::time::Sleep;
use tower::retry::Policy;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::Budget;
use tower::util::rng::HasherRng;

/// Attempts of a call, the first included.
const ATTEMPTS_MAX: u32 = 3;
/// The first pause and the longest, before jitter.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How much longer a pause may be by chance.
const JITTER: f64 = 1.0;

/// Decides whether a call is repeated.
///
/// Only what did not answer is asked again, and only while the call's time lasts: after a timeout
/// it is over. A refusal by the breaker is not tried again, nor is anything that is not known to be
/// harmless when done twice. The budget is the backend's: when most calls fail, few are repeated.
#[derive(Clone)]
pub(crate) struct Repeats<'a> {
    call: &'a Call<'a>,
    attempts: u32,
    pauses: Option<ExponentialBackoff<HasherRng>>,
}

impl<'a> Repeats<'a> {
    pub(crate) fn new(call: &'a Call<'a>) -> Self {
        Self { call, attempts: 1, pauses: None }
    }

    fn pause(&mut self) -> Option<Sleep> {
        if self.pauses.is_none() {
            let (least, most) = PAUSES;
            let maker = ExponentialBackoffMaker::new(least, most, JITTER, HasherRng::new());
            self.pauses = maker.ok().map(|mut maker| maker.make_backoff());
        }
        self.pauses.as_mut().map(Backoff::next_backoff)
    }
}

impl<A: Attempt> Policy<A, A::Answer, A::Error> for Repeats<'_> {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut A,
        answer: &mut Result<A::Answer, A::Error>,
    ) -> Option<Self::Future> {
        let backend = self.call.backend;
        match answer {
            Err(error) if error.unanswered() => {}
            _ => {
                backend.budget.deposit();
                return None;
            }
        }
        let over = self.call.was_stopped()
            || self.attempts >= ATTEMPTS_MAX
            || self.call.elapsed() >= self.call.limit;
        if over || !backend.budget.withdraw() {
            return None;
        }
        self.attempts += 1;
        backend.metrics.retried(self.call.operation);
        self.pause()
    }

    fn clone_request(&mut self, attempt: &A) -> Option<A> {
        attempt.again()
    }
}
