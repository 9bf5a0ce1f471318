//! The rules of a print cloud: ids, money, state machines, prices and routes.
//!
//! Everything here is pure: a function takes a state, a command and `now`, and returns the new
//! state with its events and tickets. There is no IO, no clock, no randomness and no async, so
//! that everything worth testing about an order can be tested in microseconds.

pub mod address;
pub mod aggregate;
pub mod api_key;
pub mod asset;
pub mod catalogue;
pub mod country;
pub mod event;
pub mod event_count;
pub mod facility;
pub mod fairness;
pub mod ids;
pub mod item;
pub mod lane;
pub mod leadership;
pub mod limit;
pub mod merchant;
pub mod money;
pub mod order;
pub mod order_command;
pub mod payment;
pub mod pricing;
pub mod print;
pub mod print_job;
pub mod problem;
pub mod quote;
pub mod retry;
pub mod routing;
pub mod scaling;
pub mod schedule;
pub mod shipment;
pub mod subscription;
pub mod ticket;
pub mod ticket_end;
pub mod ticket_history;
pub mod worker;

/// A point in time, always in UTC. The domain is given it and never asks a clock.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
