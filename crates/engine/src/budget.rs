//! A budget for the memory of one process: what strangers upload must not add up.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit stands for so many bytes.
const UNIT_BYTES: u64 = 1024 * 1024;

/// How much memory all work of a process may take together, beyond what it always takes.
///
/// Whoever holds a file takes its size, and waits while others hold too much. Whoever then opens
/// one that must be held whole with all its pixels takes the one heavy turn. Nobody waits for a
/// size while having the heavy turn, so nobody waits forever.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    units_max: u32,
    heavy: Arc<Semaphore>,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    _permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// A budget of so many bytes for files, and one heavy turn.
    pub fn new(bytes: u64) -> Self {
        let units_max = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self {
            units: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
            heavy: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits until a file of so many bytes fits. One that is larger than the whole budget gets
    /// all of it.
    pub async fn hold(&self, bytes: u64) -> Share {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.units_max);
        Share { _permit: self.units.clone().acquire_many_owned(units).await.ok() }
    }

    /// Waits for the heavy turn.
    pub async fn heavy_turn(&self) -> Share {
        Share { _permit: self.heavy.clone().acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn waits(share: impl Future<Output = Share>) -> bool {
        tokio::time::timeout(Duration::from_secs(60), share).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_waits_until_something_is_given_back() {
        let budget = MemoryBudget::new(10 * UNIT_BYTES);
        let first = budget.hold(6 * UNIT_BYTES).await;
        assert!(waits(budget.hold(5 * UNIT_BYTES)).await);
        assert!(!waits(budget.hold(4 * UNIT_BYTES)).await);
        drop(first);
        assert!(!waits(budget.hold(u64::MAX)).await, "more than all is all");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_heavy_turn() {
        let budget = MemoryBudget::new(UNIT_BYTES);
        let turn = budget.heavy_turn().await;
        assert!(waits(budget.heavy_turn()).await);
        drop(turn);
        assert!(!waits(budget.heavy_turn()).await);
    }
}
