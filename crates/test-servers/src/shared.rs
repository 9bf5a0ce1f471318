//! The servers that a whole run of tests shares: which there are, and how each is had.

use anyhow::Result;
use std::any::Any;

/// A server that is started once for many tests, each of which keeps to names of its own in it.
pub struct Shared {
    /// What it is called: `nats`.
    pub name: &'static str,
    /// The variable that tells tests its address.
    pub variable: &'static str,
    /// Debian's packages that bring it.
    pub packages: &'static [&'static str],
    /// Starts one; nothing where it is not installed.
    pub start: fn() -> Result<Option<Running>>,
}

/// A server that runs until this is dropped.
pub struct Running {
    /// Where it is.
    pub address: String,
    /// What ends it.
    pub guard: Box<dyn Any + Send>,
}

/// All of them.
pub const ALL: [Shared; 6] = [
    crate::nats::SHARED,
    crate::rabbitmq::SHARED,
    crate::moto::SHARED,
    crate::azurite::SHARED,
    crate::postgres::SHARED,
    crate::mariadb::SHARED,
];
