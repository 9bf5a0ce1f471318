//! What turns committed tickets into committed effects: commands, leases, workers, and the three
//! services of a dispatcher (relay, sequencer, reconciler).
//!
//! Nothing here knows what is printed. Capabilities bring [`handler::Handler`]s.

pub mod budget;
pub mod cancel;
pub mod command;
pub mod control;
pub mod event_counter;
pub mod handler;
pub mod housekeeping;
mod leadership;
pub mod lease;
pub mod metrics;
pub mod operations;
pub mod outside;
pub mod reconciler;
pub mod relay;
pub mod scheduler;
pub mod schedules;
pub mod sequencer;
pub mod settle;
mod slots;
pub mod subscription;
mod window;
pub mod worker;
pub mod workers;

use std::time::Duration;

/// How long a lease lasts unless it is extended.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often a holder extends its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
