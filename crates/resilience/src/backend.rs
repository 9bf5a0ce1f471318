//! A backend as calls to it see it: its places, its breaker and its budget for retries.

use crate::breaker::Breaker;
use crate::bulkhead::Compartment;
use crate::call::{Attempt, Operation};
use crate::metrics::{BackendMetrics, Metrics};
use crate::stack::Call;
use printmill_backend::{BackendError, Fault};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tower::retry::budget::TpsBudget;

/// How many calls wait for their turn at most, for each that may be under way.
const LINE: usize = 4;
/// Retries are a fifth of the calls that succeed, and ten more in ten seconds.
const BUDGET: (Duration, u32, f32) = (Duration::from_secs(10), 1, 0.2);

/// What one backend is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take to answer. What takes long by its nature has more, in proportion.
    pub timeout: Duration,
    /// How many calls may be under way at once. Four times as many may wait.
    pub at_once: usize,
}

/// A backend, shared by all calls to it.
pub(crate) struct Backend {
    /// What it is to the node: `database`, `blobs`.
    pub(crate) role: &'static str,
    /// Its own name: `postgres`, `s3`.
    pub(crate) name: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) compartments: Vec<Compartment>,
    pub(crate) breaker: Breaker,
    pub(crate) budget: TpsBudget,
    pub(crate) metrics: BackendMetrics,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Backend {
    /// A backend with compartments: how each is called, and how many times `at_once` it holds.
    pub(crate) fn new(
        metrics: &Metrics,
        role: &'static str,
        name: &'static str,
        limits: Limits,
        compartments: &[(&'static str, usize)],
    ) -> Arc<Self> {
        let (ttl, per_second, part) = BUDGET;
        let compartments = compartments.iter().map(|(name, times)| {
            let at_once = limits.at_once.saturating_mul(*times);
            Compartment::new(name, at_once, at_once.saturating_mul(LINE))
        });
        let backend = Arc::new(Self {
            role,
            name,
            timeout: limits.timeout,
            compartments: compartments.collect(),
            breaker: Breaker::new(role),
            budget: TpsBudget::new(ttl, per_second, part),
            metrics: metrics.of(role),
        });
        metrics.watch(&backend);
        backend
    }

    /// Makes a call in the first compartment, within the usual time.
    pub(crate) async fn call<A: Attempt>(
        &self,
        operation: &'static Operation,
        attempt: A,
    ) -> Result<A::Answer, A::Error> {
        self.call_within(operation, self.timeout, 0, attempt).await
    }

    /// Makes a call; each attempt may take up to `limit`.
    pub(crate) async fn call_within<A: Attempt>(
        &self,
        operation: &'static Operation,
        limit: Duration,
        compartment: usize,
        attempt: A,
    ) -> Result<A::Answer, A::Error> {
        Call::new(self, operation, limit, &self.compartments[compartment]).make(attempt).await
    }

    /// A failure that is worth trying again.
    pub(crate) fn unavailable(&self, doing: &'static str, detail: String) -> BackendError {
        BackendError::new(Fault::Unavailable, self.name, doing, detail)
    }
}
