//! The database and the table-backed queue on SQL, through SeaORM: SQLite for now.
//!
//! Entities, migrations and reads are written once for all dialects. What only one dialect can
//! do (group commit, claiming, connection settings) lives in that dialect's module.

pub mod config;
pub mod database;
pub mod entity;
mod error;
mod event_reads;
pub mod migration;

pub mod queue;
mod reads;
mod sqlite;
#[cfg(test)]
mod tests;
mod ticket_reads;

pub use config::{InvalidAddress, Location};
pub use database::SqlDatabase;
pub use queue::SqlQueue;
