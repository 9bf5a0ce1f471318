//! The platform under everything that goes wrong, and proof that the model would notice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic anywhere")]

mod found;
mod held;
