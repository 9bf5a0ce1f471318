//! The public edge: gRPC and REST from one contract, uploads and downloads, on one port.
//!
//! The REST gateway calls the gRPC services in the same process, so both share authentication,
//! limits and errors. Only here do the contract's types meet the domain's.

mod auth;
mod bodies;
mod convert;
mod downloads;
mod errors;
mod grpc;
mod lease_token;
mod links;
mod observe;
mod options;
mod page;
mod rest;
mod router;
mod serve;
mod services;
mod sign;
mod status;
mod trace;
mod uploads;

pub use options::{
    ApiOptions, ContinueTrace, HEADER_BYTES_MAX, LINK_LIFE, MESSAGE_BYTES_MAX, MetricsText,
    PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Unanswered,
};
pub use rest::rules::ContractError;
pub use router::BuildError;
pub use serve::serve;
pub use services::Services;
pub use status::serve_status;
