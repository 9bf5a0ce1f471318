//! Every call to a backend, so guarded that a slow or broken one harms nobody but those who need it.
//!
//! Decorators of the contracts send each call through a stack of tower services. From the outside
//! in:
//!
//! 1. **Load shedding**: a call is refused at once when too many wait already.
//! 2. **Bulkhead**: so many calls may be under way at once, for each backend by itself, and within
//!    the database for reads and commits, within the queue for waiting for messages and the rest.
//! 3. **Retries**: what was not answered is asked again after 50 to 100 ms, then 100 to 200 ms, where
//!    the contract says that a repeat does no harm, while the call's time lasts, and for at most a
//!    fifth of all calls.
//! 4. **Circuit breaker**: a backend that does not answer is left alone. It stands below the
//!    retries, so that it sees every attempt, and ends the retries of calls under way.
//! 5. **Timeout**: of each attempt.
//!
//! A decorator does not know which adapter it wraps. What it ends is a [`BackendError`] like those
//! of the backend: `Unavailable`, with a sentence that says why, and worth trying again. Nothing
//! runs between calls, so that an idle node stays idle.
//!
//! [`BackendError`]: printmill_backend::BackendError

mod backend;
mod blobs;
mod breaker;
mod bulkhead;
mod call;
mod circuit;
mod database;
mod metrics;
mod payments;
mod queue;
mod repeats;
mod stack;
mod timeout;

#[cfg(test)]
mod tests;

pub use backend::Limits;

use crate::circuit::Condition;
use crate::metrics::Metrics;
use printmill_backend::{Blobs, Database, PaymentGateway, Queue};
use prometheus::Registry;
use std::sync::Arc;

/// Guards the backends of a node. Cloning shares the counters.
#[derive(Clone)]
pub struct Resilience {
    metrics: Metrics,
}

impl Resilience {
    /// Registers the counters.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self { metrics: Metrics::register(registry)? })
    }

    /// Guards a database.
    pub fn database(&self, database: Arc<dyn Database>, limits: Limits) -> Arc<dyn Database> {
        Arc::new(database::Guarded::new(&self.metrics, database, limits))
    }

    /// Guards a queue.
    pub fn queue(&self, queue: Arc<dyn Queue>, limits: Limits) -> Arc<dyn Queue> {
        Arc::new(queue::Guarded::new(&self.metrics, queue, limits))
    }

    /// Guards the store below blobs.
    pub fn blobs(&self, blobs: Blobs, limits: Limits) -> Blobs {
        let name = blobs.caps().name;
        blobs.over(|store| Arc::new(blobs::Guarded::new(&self.metrics, name, store, limits)))
    }

    /// Guards a payment gateway.
    pub fn payments(
        &self,
        gateway: Arc<dyn PaymentGateway>,
        limits: Limits,
    ) -> Arc<dyn PaymentGateway> {
        Arc::new(payments::Guarded::new(&self.metrics, gateway, limits))
    }

    /// The backends that are left alone just now, since they do not answer: `blobs`, `queue`.
    pub fn left_alone(&self) -> Vec<&'static str> {
        let backends = self.metrics.watched().into_iter();
        let alone = backends.filter(|backend| backend.breaker.condition() != Condition::Closed);
        alone.map(|backend| backend.role).collect()
    }
}
