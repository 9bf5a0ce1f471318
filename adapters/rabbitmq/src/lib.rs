//! The queue on RabbitMQ, 3.10 or later.
//!
//! Each lane is a quorum queue. RabbitMQ leases a message to a connection for as long as that
//! lives, and knows neither lease ends nor delays: this adapter ends leases by its own clock, and
//! lets delayed messages wait in queues that expire them back into their lane.

mod config;
mod connect;
mod delay;
mod error;
mod held;
mod link;
mod message;
mod queue;
#[cfg(test)]
mod tests;

pub use config::RabbitMqConfig;
pub use error::RabbitMqError;
pub use queue::{RabbitMqQueue, capabilities};
