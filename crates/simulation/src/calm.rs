//! The simulated database and queue with their faults switched off: then they must keep the
//! contracts as any adapter does, or the simulation would show what no backend does.

use crate::broker::SimulatedQueue;
use crate::chance::{Chance, Weather};
use crate::database::SimulatedDatabase;
use crate::process::Process;
use crate::site::Site;
use printmill_backend::{Database, Queue};
use printmill_engine::relay::TurnPolicy;
use std::sync::Arc;

/// A site where nothing goes wrong but what is said here.
#[derive(Clone)]
pub struct Calm(Arc<Process>);

impl Calm {
    /// Nothing goes wrong.
    ///
    /// # Errors
    ///
    /// When the site cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        Self::under(Weather { together: true, ..Weather::default() })
    }

    /// Every message is in the queue twice, and they come in any order.
    ///
    /// # Errors
    ///
    /// When the site cannot be made.
    pub fn with_duplicates() -> anyhow::Result<Self> {
        let calm = Self::under(Weather { duplicate: 1000, together: true, ..Weather::default() })?;
        calm.0.site.begin();
        Ok(calm)
    }

    fn under(weather: Weather) -> anyhow::Result<Self> {
        let site = Site::under(weather, TurnPolicy::default(), Chance::new(1), None)?;
        Ok(Self(Arc::new(Process::new(&Arc::new(site), "process".into()))))
    }

    /// A connection to its database.
    pub fn database(&self) -> Arc<dyn Database> {
        Arc::new(SimulatedDatabase(self.0.clone()))
    }

    /// A connection to its queue.
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(SimulatedQueue::of(&self.0))
    }

    /// Has the queue lose everything.
    pub fn wipe(&self) {
        self.0.site.broker.wipe(None);
    }
}
