//! What databases behind a network have in common: several writers, each with a connection and a
//! transaction for a batch of changes, and a queue's task.

#[cfg(feature = "rds")]
mod iam;
pub(crate) mod lookup;
pub(crate) mod passwords;
pub(crate) mod queue_batch;
pub(crate) mod queue_session;
pub(crate) mod queue_task;
pub(crate) mod session;
pub(crate) mod writer;
pub(crate) mod writes;

/// Into how many rows each counter of tickets is spread, so that writers do not wait for each
/// other.
pub(crate) const COUNTER_SHARDS: u16 = 64;
