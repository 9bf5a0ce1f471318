//! Blobs in object stores, chosen by address: a directory of this machine.

pub mod blobs;
pub mod config;
pub mod error;

mod disk;

pub use blobs::open;
pub use config::ObjectsConfig;
pub use error::ObjectsError;
