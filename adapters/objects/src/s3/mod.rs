//! S3-compatible stores: Amazon's, and those that speak its protocol.

mod config;
mod open;
mod refusal;
mod sign;
mod store;

pub use config::{Credentials, Links, S3Config, Style};
pub(crate) use open::open;

/// Its name in messages.
pub(crate) const S3: &str = "s3";
