//! Slots: how many tickets of a lane may be in work at once, which may change meanwhile.

use std::sync::Arc;
use tokio::sync::watch;

/// The slots of a lane. Those that are taken stay so when there are to be fewer.
pub(crate) struct Slots(watch::Sender<Count>);

#[derive(Debug, Clone, Copy)]
struct Count {
    limit: usize,
    taken: usize,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Count { limit, taken: 0 })))
    }

    /// From now on there are to be so many.
    pub(crate) fn limit(&self, limit: usize) {
        self.0.send_if_modified(|count| std::mem::replace(&mut count.limit, limit) != limit);
    }

    /// Waits for a free one, and takes up to `most`.
    pub(crate) async fn take(self: &Arc<Self>, most: usize) -> Vec<Slot> {
        let mut changes = self.0.subscribe();
        loop {
            let mut got = 0;
            self.0.send_if_modified(|count| {
                got = count.limit.saturating_sub(count.taken).min(most);
                count.taken += got;
                false
            });
            if got > 0 {
                return (0..got).map(|_| Slot(self.clone())).collect();
            }
            // The sender is here, so this only ends with a change.
            let _ = changes.wait_for(|count| count.taken < count.limit).await;
        }
    }

    /// Waits until more are taken than there are to be.
    pub(crate) async fn overdrawn(&self) {
        let _ = self.0.subscribe().wait_for(|count| count.taken > count.limit).await;
    }
}

/// A slot; given back when it is dropped.
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.taken = count.taken.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn there_are_as_many_as_last_said_and_those_taken_stay() {
        let slots = Slots::new(2);
        let mut taken = slots.take(10).now_or_never().unwrap();
        assert_eq!(taken.len(), 2);
        assert!(slots.take(1).now_or_never().is_none(), "all are taken");
        slots.limit(3);
        taken.extend(slots.take(10).now_or_never().unwrap());
        assert_eq!(taken.len(), 3);
        assert!(slots.overdrawn().now_or_never().is_none());
        slots.limit(1);
        assert!(slots.overdrawn().now_or_never().is_some());
        taken.truncate(1);
        assert!(slots.overdrawn().now_or_never().is_none());
        assert!(slots.take(1).now_or_never().is_none(), "one of one is taken");
        taken.clear();
        assert_eq!(slots.take(10).now_or_never().unwrap().len(), 1);
        slots.limit(0);
        assert!(slots.take(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_new_limit_and_by_a_slot_given_back() {
        let slots = Slots::new(0);
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(1).await }
        });
        tokio::task::yield_now().await;
        slots.limit(1);
        let taken = waiting.await.unwrap();
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(1).await.len() }
        });
        tokio::task::yield_now().await;
        drop(taken);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
