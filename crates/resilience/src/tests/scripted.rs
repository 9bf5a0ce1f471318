//! Backends that do as they are told, in paused time: fail, hang, take their time.

use crate::backend::{Backend, Limits};
use crate::call::Operation;
use crate::metrics::Metrics;
use printmill_backend::{BackendError, Fault};
use prometheus::{Encoder, Registry, TextEncoder};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const ASK: Operation = Operation::new(0, "ask", "answer a question");
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A backend of two places and one compartment beside, with the counters of its node.
pub(super) struct Scene {
    pub(super) registry: Registry,
    pub(super) backend: Arc<Backend>,
}

pub(super) fn scene() -> Scene {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let limits = Limits { timeout: TIMEOUT, at_once: 2 };
    let sorts = [("calls", 1), ("others", 1)];
    let backend = Backend::new(&metrics, "oracle", "delphi", limits, &sorts);
    Scene { registry, backend }
}

impl Scene {
    /// The value of a counter or gauge, by its line in `/metrics`.
    pub(super) fn metric(&self, series: &str) -> Option<u64> {
        metric(&self.registry, series)
    }
}

/// The value of a counter or gauge, by its line in `/metrics`.
pub(super) fn metric(registry: &Registry, series: &str) -> Option<u64> {
    let mut text = vec![];
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// What comes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Answer,
    /// An answer after a while.
    After(Duration),
    /// A failure of this kind.
    Fail(Fault),
    Hang,
}

pub(super) const AWAY: Act = Act::Fail(Fault::Unavailable);

/// What comes of attempts, one after the other, and of all that follow.
pub(super) struct Script {
    acts: Mutex<VecDeque<Act>>,
    then: Act,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Script {
    pub(super) fn new(acts: impl IntoIterator<Item = Act>, then: Act) -> Self {
        let acts = Mutex::new(acts.into_iter().collect());
        Self { acts, then, begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) }
    }

    pub(super) fn always(act: Act) -> Self {
        Self::new([], act)
    }

    /// How many attempts began.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// How many attempts are over, because they ended or were broken off.
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// An attempt.
    pub(super) async fn ask(&self) -> Result<(), BackendError> {
        struct Ends<'a>(&'a AtomicUsize);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _ends = Ends(&self.ended);
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(self.then);
        match act {
            Act::Answer => Ok(()),
            Act::After(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Act::Fail(fault) => Err(away(fault)),
            Act::Hang => std::future::pending().await,
        }
    }
}

pub(super) fn away(fault: Fault) -> BackendError {
    BackendError::new(fault, "delphi", "answer a question", "the oracle is away")
}
