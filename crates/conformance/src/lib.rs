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

pub mod blobs;
pub mod clock;
pub mod database;
pub mod gateway;
pub mod queue;
pub mod subject;

mod samples;
mod suite;

pub use blobs::blobs_trials;
pub use clock::clock_trials;
pub use database::database_trials;
pub use gateway::{GatewayMethods, gateway_trials};
pub use queue::queue_trials;
pub use subject::Subject;
pub use suite::stops_its_store;
