//! The whole platform on one thread, one seed and virtual time (tokio's paused time), with
//! everything going wrong.
//!
//! [`simulate`] runs one seed: merchants order, pay and cancel; workers, dispatchers, api nodes
//! and facilities do their part, crash, stand still and come back; the database fails before and
//! after commits; the queue repeats, reorders, delays and forgets. Then the faults end, and
//! `model` judges what happened. The same seed runs the same way, always.

mod api;
mod broker;
pub mod calm;
mod chance;
mod chaos;
mod chores;
mod database;
mod ending;
mod facility;
mod gateway;
mod history;
mod merchant;
mod model;
mod operator;
mod policy;
mod press;
mod process;
mod roles;
mod run;
mod schedules;
pub mod seeds;
mod site;
mod stock;

pub use run::{Run, Without, simulate};

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
