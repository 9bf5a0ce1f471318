//! A queue, guarded.

use crate::backend::{Backend, Limits};
use crate::call::{Attempt, Failing, Once, Operation, Repeatable};
use crate::circuit::Condition;
use crate::metrics::Metrics;
use async_trait::async_trait;
use printmill_backend::BackendError;
use printmill_backend::queue::{
    Delivery, Message, Queue, QueueCaps, QueueStats, Receipt, SettleError,
};
use printmill_domain::lane::Lane;
use std::sync::Arc;
use std::time::Duration;

const ENSURE: Operation = Operation::new(0, "ensure", "make a lane");
const SEND: Operation = Operation::new(1, "send", "send messages");
const LEASE: Operation = Operation::new(2, "lease", "lease messages");
const EXTEND: Operation = Operation::new(3, "extend", "extend a lease");
const ACK: Operation = Operation::new(4, "ack", "acknowledge a message");
const RELEASE: Operation = Operation::new(5, "release", "give a message back");
const STATS: Operation = Operation::new(6, "stats", "count messages");

/// Where each sort of calls has its places. Who waits for messages does so for long, and there may
/// be many: each costs next to nothing.
const COMPARTMENTS: [(&str, usize); 2] = [("calls", 1), ("leases", 16)];
const LEASES: usize = 1;

/// Guards a queue.
///
/// All calls may be repeated: sending again is always right, and settling twice is `Lost` or done.
/// Leasing is not, since who waits for messages asks again anyway, and what was leased in vain comes
/// again when its lease is over.
pub(crate) struct Guarded {
    inner: Arc<dyn Queue>,
    backend: Arc<Backend>,
}

impl Guarded {
    pub(crate) fn new(metrics: &Metrics, inner: Arc<dyn Queue>, limits: Limits) -> Self {
        let name = inner.caps().name;
        let backend = Backend::new(metrics, "queue", name, limits, &COMPARTMENTS);
        Self { inner, backend }
    }

    async fn call<A: Attempt>(
        &self,
        operation: &'static Operation,
        attempt: A,
    ) -> Result<A::Answer, A::Error> {
        self.backend.call(operation, attempt).await
    }
}

#[async_trait]
impl Queue for Guarded {
    fn caps(&self) -> &QueueCaps {
        self.inner.caps()
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.call(&ENSURE, Repeatable(|| self.inner.ensure(lane))).await
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let send = || async {
            let mut answers = self.inner.send(lane, messages).await;
            let unanswered = |answer: &Result<(), BackendError>| matches!(answer, Err(error) if error.unanswered());
            match answers.pop_if(|last| unanswered(last)) {
                // All of them failed, so it was the queue, and not what was sent.
                Some(Err(error)) if answers.iter().all(unanswered) => Err(error),
                Some(last) => {
                    answers.push(last);
                    Ok(answers)
                }
                None => Ok(answers),
            }
        };
        match self.call(&SEND, Repeatable(send)).await {
            Ok(answers) => answers,
            Err(BackendError { fault, backend, operation, detail, source }) => {
                let failed = |_| Err(BackendError::new(fault, backend, operation, detail.clone()));
                let mut answers: Vec<_> = messages.iter().map(failed).collect();
                if let Some(Err(first)) = answers.first_mut() {
                    first.source = source;
                }
                answers
            }
        }
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        // A queue that is only tried is not asked to wait, so that it is soon known to answer.
        let wait = match self.backend.breaker.condition() {
            Condition::Closed => wait,
            Condition::HalfOpen | Condition::Open => Duration::ZERO,
        };
        let limit = wait.saturating_add(self.backend.timeout);
        let lease = Once(|| self.inner.lease(lane, count, ttl, wait));
        self.backend.call_within(&LEASE, limit, LEASES, lease).await
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.call(&EXTEND, Repeatable(|| self.inner.extend(receipt, ttl))).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        self.call(&ACK, Repeatable(|| self.inner.ack(receipt))).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        self.call(&RELEASE, Repeatable(|| self.inner.release(receipt, delay))).await
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        self.call(&STATS, Repeatable(|| self.inner.stats(lane))).await
    }
}
