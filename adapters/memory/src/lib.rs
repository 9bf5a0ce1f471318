//! Every contract kept in memory: exact, simple, and gone with the process.
//!
//! This is the reference that other adapters are compared with, and what tests and simulations
//! run on. Each constructor makes a store of its own; clones and `Arc`s of it share its content.

pub mod blobs;
pub mod clock;
pub mod config;
pub mod database;
pub mod error;
pub mod gateway;
pub mod queue;

pub use blobs::{memory_blobs, open_blobs};
pub use clock::ManualClock;
pub use config::MemoryConfig;
pub use database::{MemoryDatabase, open_database};
pub use error::MemoryError;
pub use gateway::SandboxGateway;
pub use queue::{MemoryQueue, open_queue};

/// Locks, also when another thread panicked while it held the lock: every change under these
/// locks is checked first and then applied without a step that could fail.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
