//! The queue on NATS JetStream, 2.9 or later.
//!
//! All lanes of a deployment share one work-queue stream, `printmill` unless the address says
//! otherwise; a lane is a subject in it and a durable pull consumer. Streams cost a server files,
//! memory and, in a cluster, an election each, and there is a lane for every worker and facility;
//! what waits in them is little, since the backlog waits in the database.

mod config;
mod connect;
mod error;
mod lanes;
mod message;
mod pull;
mod queue;
#[cfg(test)]
mod tests;

pub use config::{Credentials, NatsConfig, Tls};
pub use error::NatsError;
pub use queue::{NatsQueue, capabilities};
