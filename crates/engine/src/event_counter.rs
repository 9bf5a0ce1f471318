//! A consumer that counts events: by merchant, day and kind.

use crate::subscription::{Delivery, Failure, Subscriber};
use async_trait::async_trait;
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, DatabaseExt};
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::event_count::EventCount;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Counts each merchant's events of a day, by kind.
///
/// A count knows the last event in it, so that also a replay counts nothing twice.
pub struct EventCounter {
    database: Arc<dyn Database>,
}

impl EventCounter {
    /// The name that its cursor is stored under.
    pub const NAME: &'static str = "event-counts";

    /// Counts in a database.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Subscriber for EventCounter {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Counts may be a second late; a busy node then stores them once a second.
    fn linger(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn effect(&self, batch: &[Delivery], mut change: Change) -> Result<Change, Failure> {
        let mut days: BTreeMap<String, (Option<Versioned<EventCount>>, EventCount)> =
            BTreeMap::new();
        for Delivery { event, .. } in batch {
            let id = EventCount::id_for(event);
            if !days.contains_key(&id) {
                let scope = Scope::Merchant(event.merchant);
                let before = self.database.find::<EventCount>(scope, &id).await?;
                let count = before.as_ref().map(|before| before.value.clone());
                let new = || EventCount::new(event.merchant, event.at.date_naive(), change.at);
                days.insert(id.clone(), (before, count.unwrap_or_else(new)));
            }
            if let Some((_, count)) = days.get_mut(&id) {
                count.count(event);
            }
        }
        for (before, count) in days.into_values() {
            change = match before {
                Some(before) => change.update(&before, Decided::quiet(count)),
                None => change.create(Decided::quiet(count)),
            };
        }
        Ok(change)
    }
}
