//! What only SQLite does: connection settings, group commit, claiming from the queue's table.
//!
//! Parameters are written `$1`, never `?1`: in a script of several statements the driver counts
//! the numbers that a statement leaves out as used, and then binds nothing to later ones.

pub(crate) mod change_rows;
pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod connect;
pub(crate) mod decide;
pub(crate) mod json_array;
pub(crate) mod log_stamp;
mod log_watch;
pub(crate) mod prune;
pub(crate) mod queue_file;
pub(crate) mod queue_worker;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod watcher;
pub(crate) mod writer;
