//! The contract with the outside, executable: a case for each of its sentences.
//!
//! An adapter's test is a `main` without the standard harness:
//!
//! ```ignore
//! fn main() {
//!     let arguments = libtest_mimic::Arguments::from_args();
//!     let trials = database_trials("memory", || async {
//!         Ok(Subject::database(MemoryDatabase::new()))
//!     });
//!     libtest_mimic::run(&arguments, trials).exit();
//! }
//! ```
//!
//! Each case gets a store of its own. Cases that need a capability which the adapter does not
//! claim are shown as ignored.
//!
//! Some cases are marked as safe, with the reason: they may run beside a deployment in use, each
//! in a namespace of its own. `printmill check` runs those, without the test harness.

pub mod blobs;
#[cfg(feature = "trials")]
pub mod clock;
pub mod database;
pub mod gateway;
pub mod queue;
pub mod subject;

mod own_lanes;
mod samples;
mod suite;
#[cfg(feature = "trials")]
mod trials;

pub use blobs::blobs_cases;
pub use database::database_cases;
pub use gateway::{GatewayMethods, gateway_cases};
pub use own_lanes::OwnLanes;
pub use queue::queue_cases;
pub use subject::Subject;
pub use suite::Case;

#[cfg(feature = "trials")]
pub use {
    blobs::blobs_trials, clock::clock_trials, database::database_trials, gateway::gateway_trials,
    queue::queue_trials, trials::stops_its_store,
};
