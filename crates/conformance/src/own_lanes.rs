//! A queue seen through lanes of one's own: cases meet nobody in them, and they can be emptied.

use crate::samples::lane;
use async_trait::async_trait;
use printmill_backend::BackendError;
use printmill_backend::queue::{
    Delivery, Message, Queue, QueueCaps, QueueStats, Receipt, SettleError,
};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many are taken out at once.
const BATCH: u16 = 25;
/// How long what is taken out is held: long enough to acknowledge it.
const LEASE: Duration = Duration::from_secs(10);
/// How long to wait for something that may still come.
const WAIT: Duration = Duration::from_millis(500);

/// A queue whose lanes have other names than they seem to have.
pub struct OwnLanes {
    queue: Arc<dyn Queue>,
    prefix: String,
    inside: Arc<Mutex<Inside>>,
}

/// What was put into the lanes and not taken out again.
#[derive(Default)]
struct Inside {
    lanes: HashSet<Lane>,
    /// Where something may be that is not noted: sent twice, or with an error.
    doubtful: HashSet<Lane>,
    sent: HashSet<(Lane, TicketId)>,
    held: HashMap<Receipt, TicketId>,
}

impl OwnLanes {
    /// Sees `queue` through lanes whose names begin with `prefix`, at most 40 letters, digits and
    /// hyphens that nobody else uses.
    pub fn new(queue: Arc<dyn Queue>, prefix: impl Into<String>) -> Self {
        Self { queue, prefix: prefix.into(), inside: Arc::default() }
    }

    /// The same lanes, by another handle of the same queue.
    pub fn by(&self, queue: Arc<dyn Queue>) -> Self {
        Self { queue, prefix: self.prefix.clone(), inside: self.inside.clone() }
    }

    /// Makes sure of the lanes that cases use.
    pub async fn make(&self) -> Result<(), BackendError> {
        for name in ["conformance", "other"] {
            self.ensure(&lane(name)).await?;
        }
        Ok(())
    }

    /// The names of the lanes that were used, as others see them.
    pub fn lanes(&self) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = self.inside().lanes.iter().cloned().collect();
        lanes.sort();
        lanes
    }

    /// Takes out what was sent and not acknowledged, for at most `limit`; how much is left.
    pub async fn tidy(&self, limit: Duration) -> usize {
        let began = Instant::now();
        let held: Vec<(Receipt, TicketId)> = self.inside().held.drain().collect();
        for (receipt, ticket) in held {
            // What cannot be acknowledged any more comes again.
            if self.queue.ack(&receipt).await.is_ok() {
                self.inside().sent.remove(&(receipt.lane, ticket));
            }
        }
        let lanes = {
            let mut inside = self.inside();
            let mut lanes = std::mem::take(&mut inside.doubtful);
            lanes.extend(inside.sent.iter().map(|(lane, _)| lane.clone()));
            lanes
        };
        for lane in lanes {
            self.take_out(&lane, limit.saturating_sub(began.elapsed())).await;
        }
        self.inside().sent.drain().count()
    }

    /// The same of every lane, whatever was noted.
    pub async fn empty(&self, limit: Duration) -> usize {
        let all = self.inside().lanes.clone();
        self.inside().doubtful.extend(all);
        self.tidy(limit).await
    }

    /// Takes out all of a lane, until nothing comes and nothing is missed.
    async fn take_out(&self, lane: &Lane, limit: Duration) {
        let began = Instant::now();
        loop {
            let Ok(leased) = self.queue.lease(lane, BATCH, LEASE, WAIT).await else { return };
            for delivery in &leased {
                if self.queue.ack(&delivery.receipt).await.is_ok() {
                    self.inside().sent.remove(&(lane.clone(), delivery.ticket));
                }
            }
            let missed = self.inside().sent.iter().any(|(of, _)| of == lane);
            if (leased.is_empty() && !missed) || began.elapsed() > limit {
                return;
            }
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The real lane.
    fn own(&self, lane: &Lane) -> Result<Lane, BackendError> {
        let own = Lane::parse(&format!("{}-{lane}", self.prefix)).ok_or_else(|| {
            let fault = printmill_backend::Fault::Rejected;
            BackendError::new(fault, "check", "name a lane", "the name is too long")
        })?;
        self.inside().lanes.insert(own.clone());
        Ok(own)
    }

    fn own_receipt(&self, receipt: &Receipt) -> Result<Receipt, SettleError> {
        Ok(Receipt { lane: self.own(&receipt.lane)?, handle: receipt.handle.clone() })
    }
}

#[async_trait]
impl Queue for OwnLanes {
    fn caps(&self) -> &QueueCaps {
        self.queue.caps()
    }

    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError> {
        self.queue.ensure(&self.own(lane)?).await
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let own = match self.own(lane) {
            Ok(own) => own,
            Err(error) => return vec![Err(error)],
        };
        let answers = self.queue.send(&own, messages).await;
        let mut inside = self.inside();
        for (message, answer) in messages.iter().zip(&answers) {
            let is_new = answer.is_ok() && inside.sent.insert((own.clone(), message.ticket));
            if !is_new {
                inside.doubtful.insert(own.clone());
            }
        }
        drop(inside);
        answers
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        let own = self.own(lane)?;
        let mut deliveries = self.queue.lease(&own, count, ttl, wait).await?;
        let mut inside = self.inside();
        for delivery in &mut deliveries {
            inside.held.insert(delivery.receipt.clone(), delivery.ticket);
            delivery.receipt.lane = lane.clone();
        }
        drop(inside);
        Ok(deliveries)
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.queue.extend(&self.own_receipt(receipt)?, ttl).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        let own = self.own_receipt(receipt)?;
        self.queue.ack(&own).await?;
        let mut inside = self.inside();
        if let Some(ticket) = inside.held.remove(&own) {
            inside.sent.remove(&(own.lane, ticket));
        }
        drop(inside);
        Ok(())
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        let own = self.own_receipt(receipt)?;
        self.queue.release(&own, delay).await?;
        self.inside().held.remove(&own);
        Ok(())
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        self.queue.stats(&self.own(lane)?).await
    }
}
