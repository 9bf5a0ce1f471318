//! What operators see of the engine, and how they steer it.

use printmill_backend::database::LaneCount;
use printmill_backend::{BackendError, Database};
use std::sync::Arc;

/// Looks into the engine for operators. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    database: Arc<dyn Database>,
}

impl Operations {
    /// Looks into a database.
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self { database }
    }

    /// How many tickets each lane has in each state that is not final.
    pub async fn lanes(&self) -> Result<Vec<LaneCount>, BackendError> {
        self.database.lane_counts().await
    }
}
