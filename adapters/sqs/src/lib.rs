//! The queue in Amazon SQS, standard or FIFO: `sqs://prefix?region=eu-west-1`.

pub mod config;
pub mod error;
pub mod queue;

mod batches;
mod connect;
mod message;
mod queues;

pub use config::{Credentials, Kind, SqsConfig};
pub use error::SqsError;
pub use queue::SqsQueue;
