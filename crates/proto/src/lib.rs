//! The public contract: messages, gRPC clients and servers, and their JSON, generated from proto/.
//!
//! Timestamps and structs are those of `pbjson_types`; every message speaks canonical proto3 JSON
//! through serde.

/// Google's shared types.
#[allow(missing_docs, clippy::all, clippy::unwrap_used)]
pub mod google {
    /// `google.api`: how methods are reached over HTTP.
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
    /// `google.type`: money.
    pub mod r#type {
        include!(concat!(env!("OUT_DIR"), "/google.r#type.rs"));
        include!(concat!(env!("OUT_DIR"), "/google.r#type.serde.rs"));
    }
}

/// Printmill's own messages and services.
pub mod printmill {
    /// Version 1 of the contract.
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::unwrap_used,
        clippy::uninlined_format_args,
        clippy::semicolon_if_nothing_returned,
        clippy::redundant_clone
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/printmill.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/printmill.v1.serde.rs"));
    }
}

/// KEDA's protocol for scalers of others, which is not part of the contract.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::uninlined_format_args,
    clippy::semicolon_if_nothing_returned,
    clippy::redundant_clone
)]
pub mod externalscaler {
    include!(concat!(env!("OUT_DIR"), "/externalscaler.rs"));
}

pub use printmill::v1;

/// The encoded `FileDescriptorSet` of all files with their imports, comments and
/// `google.api.http` options, for reflection and for the REST gateway.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/printmill.bin"));
