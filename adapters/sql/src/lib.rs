//! The database and the table-backed queue on SQL, through SeaORM: SQLite, PostgreSQL, MySQL and
//! MariaDB.
//!
//! Entities, migrations and reads are written once for all dialects. What only one dialect can
//! do (group commit, claiming, connection settings) lives in that dialect's module.

pub mod config;
pub mod database;
mod dialect;
mod engine;
pub mod entity;
mod error;
mod event_reads;
pub mod migration;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
pub mod queue;
mod reads;
mod schema_state;
mod schema_words;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
pub mod server_address;
mod sqlite;
#[cfg(test)]
mod tests;
mod ticket_reads;

pub use config::{InvalidAddress, Location};
pub use database::SqlDatabase;
pub use queue::SqlQueue;
pub use schema_state::OlderTables;
pub use server_address::ServerAddress;
