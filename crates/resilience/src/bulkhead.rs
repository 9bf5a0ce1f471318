//! The layer that lets so many calls be under way at once, and so many wait.
//!
//! Tower's limit lets any number wait, and its load shedding none; both together refuse whatever
//! does not find a place at once.

use crate::call::Attempt;
use crate::metrics::Outcome;
use crate::stack::{Call, told};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::PollSemaphore;
use tower::Service;

/// The places for one sort of calls, and the line before them.
pub(crate) struct Compartment {
    /// What it is called in metrics.
    pub(crate) name: &'static str,
    places: Arc<Semaphore>,
    at_once: usize,
    line: usize,
    waiting: AtomicUsize,
}

impl Compartment {
    /// Places for `at_once` calls, with up to `line` that wait.
    pub(crate) fn new(name: &'static str, at_once: usize, line: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(at_once));
        Self { name, places, at_once, line, waiting: AtomicUsize::new(0) }
    }

    /// How many calls are under way.
    pub(crate) fn in_flight(&self) -> i64 {
        i64::try_from(self.at_once - self.places.available_permits()).unwrap_or(i64::MAX)
    }

    /// How many calls wait.
    pub(crate) fn waiting(&self) -> i64 {
        i64::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    /// A place in the line, unless it is full.
    fn queue(&self) -> Option<InLine<'_>> {
        // Counted first, so that no two take the last place.
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let in_line = InLine(self);
        (before < self.line).then_some(in_line)
    }
}

/// A call in the line.
struct InLine<'a>(&'a Compartment);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a call wait for its turn, or refuses it.
#[derive(Clone, Copy)]
pub(crate) struct Bulkhead<'a, S> {
    pub(crate) inner: S,
    pub(crate) call: &'a Call<'a>,
}

impl<'a, S, A> Service<A> for Bulkhead<'a, S>
where
    S: Service<A, Response = A::Answer, Error = A::Error> + Clone,
    A: Attempt,
{
    type Response = A::Answer;
    type Error = A::Error;
    type Future = Entering<'a, S, A>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: A) -> Self::Future {
        let (call, compartment) = (self.call, self.call.compartment);
        if let Ok(place) = compartment.places.clone().try_acquire_owned() {
            return Entering::Inside { answer: self.inner.call(attempt), place };
        }
        match compartment.queue() {
            None => Entering::Full { call },
            Some(in_line) => Entering::Waiting {
                turn: PollSemaphore::new(compartment.places.clone()),
                patience: tokio::time::sleep(call.limit),
                begin: Some((self.inner.clone(), attempt)),
                in_line,
                call,
            },
        }
    }
}

pin_project! {
    /// A call on its way in.
    #[project = EnteringProjection]
    pub(crate) enum Entering<'a, S, A>
    where
        S: Service<A>,
    {
        Waiting {
            turn: PollSemaphore,
            #[pin]
            patience: Sleep,
            begin: Option<(S, A)>,
            in_line: InLine<'a>,
            call: &'a Call<'a>,
        },
        Inside {
            #[pin]
            answer: S::Future,
            place: OwnedSemaphorePermit,
        },
        Full { call: &'a Call<'a> },
    }
}

impl<S, A> Future for Entering<'_, S, A>
where
    S: Service<A, Response = A::Answer, Error = A::Error>,
    A: Attempt,
{
    type Output = Result<A::Answer, A::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                EnteringProjection::Waiting { turn, patience, begin, call, .. } => {
                    let place = match turn.poll_acquire(context) {
                        Poll::Ready(place) => place,
                        Poll::Pending => {
                            ready!(patience.poll(context));
                            None
                        }
                    };
                    let (Some(place), Some((mut inner, attempt))) = (place, begin.take()) else {
                        let detail = format!("it had no time for it within {}", told(call.limit));
                        return Poll::Ready(Err(call.stopped(Outcome::Shed, detail)));
                    };
                    self.set(Entering::Inside { answer: inner.call(attempt), place });
                }
                EnteringProjection::Inside { answer, .. } => return answer.poll(context),
                EnteringProjection::Full { call } => {
                    let Compartment { at_once, line, .. } = call.compartment;
                    let detail = format!("{at_once} calls are under way, and {line} wait");
                    return Poll::Ready(Err(call.stopped(Outcome::Shed, detail)));
                }
            }
        }
    }
}
