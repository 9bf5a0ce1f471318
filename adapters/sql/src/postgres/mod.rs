//! What only PostgreSQL does: connections, group commit, the log's numbers, wake-ups, claiming.

pub(crate) mod commit;
pub(crate) mod connect;
pub(crate) mod database;
pub(crate) mod error;
pub(crate) mod log;
pub(crate) mod queue;
pub(crate) mod schema;
pub(crate) mod signal;
