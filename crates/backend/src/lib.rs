//! The contract between Printmill and the outside world.
//!
//! Each trait's documentation has a **Contract** section. Every sentence of it has a case in
//! `printmill-conformance`, which every adapter runs. Adapters implement these traits; the rest
//! of Printmill knows nothing else of databases, queues, stores and payment providers.

pub mod blobs;
pub mod change;
pub mod clock;
pub mod database;
pub mod error;
pub mod fresh;
pub mod links;
pub mod payment_gateway;
mod prefixed;
pub mod queue;
mod reading;
mod upload;

pub use blobs::Blobs;
pub use change::{Change, CommitError, Expected, Record, RequestRecord, TicketGuard, TicketWrite};
pub use clock::{Clock, SystemClock};
pub use database::{Database, DatabaseExt};
pub use error::{BackendError, Fault};
pub use payment_gateway::PaymentGateway;
pub use queue::Queue;
