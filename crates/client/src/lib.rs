//! A typed client of the public API, and the client that runs in a print facility.
//!
//! Every call is safe to repeat: what changes something carries a request id or a lease, so the
//! client tries again by itself when the server is away for a moment, and nothing happens twice.

mod call;
mod client;
mod download;
mod error;
mod event_watch;
pub mod facility;
mod show;
mod transfer;
mod upload;
mod watch;

pub use call::{Connection, Retry};
pub use client::{Client, fresh_request_id};
pub use error::{ClientError, FieldViolation};
pub use event_watch::EventWatch;
/// A JSON object, and a point in time, of the contract; in JSON the latter is RFC 3339.
pub use pbjson_types::{Struct, Timestamp};
pub use printmill_proto::{google, v1};
pub use show::{item_state, money, order_state, print_job_state, time};
pub use upload::UploadStep;
pub use watch::OrderWatch;
