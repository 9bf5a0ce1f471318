//! Blobs in object stores, chosen by address: a directory of this machine, or a bucket.

#[cfg(feature = "azure")]
pub mod azure;
pub mod blobs;
pub mod config;
pub mod error;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "s3")]
pub mod s3;

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod address;
mod disk;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub mod remote;

pub use blobs::{open, open_config};
pub use config::ObjectsConfig;
pub use error::ObjectsError;
