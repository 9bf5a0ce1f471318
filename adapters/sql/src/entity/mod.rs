//! The tables, as SeaORM entities.

pub mod event_log;
pub mod record;
pub mod request;
pub mod ticket;
pub mod ticket_count;
