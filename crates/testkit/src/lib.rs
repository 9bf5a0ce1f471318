//! Real nodes, real clients and seeded chance, for tests and benchmarks.
//!
//! A test starts the `printmill` binary as users do, on free loopback ports and in a directory
//! of its own, talks to it through the public API, and kills it as machines do.

pub mod chance;
pub mod history;
pub mod log;
pub mod node;
pub mod profile;
pub mod python;
pub mod shop;

pub use chance::Chance;
pub use node::{Node, Place};
pub use profile::{Deployment, Layout, Profile};
pub use python::{Python, PythonWorker};
pub use shop::Shop;
