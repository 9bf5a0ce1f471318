//! The edge from outside: a served port, real requests, and stores in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic anywhere")]

mod access;
mod events;
mod facility_client;
mod files;
mod keda;
mod methods;
mod operating;
mod outside;
mod rest;
mod schedules;
mod shutdown;
mod status;
mod stream;
mod wire;
mod work;
mod workers;
mod world;
