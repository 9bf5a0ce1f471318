//! The press from outside: what it makes of good pictures, of bad ones, and how much memory it takes for both.

mod books;
mod hostile;
mod inspecting;
mod layouts;
mod memory;
mod pictures;
mod rereading;
