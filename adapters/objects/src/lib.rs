//! Blobs in object stores, chosen by address: a directory of this machine, or a bucket.

pub mod blobs;
pub mod config;
pub mod error;
#[cfg(feature = "s3")]
pub mod s3;

#[cfg(feature = "s3")]
mod address;
mod disk;
#[cfg(feature = "s3")]
mod remote;

pub use blobs::{open, open_config};
pub use config::ObjectsConfig;
pub use error::ObjectsError;
