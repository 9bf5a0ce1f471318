//! The tests are in `tests/`: promises to users, end to end, with real processes.
