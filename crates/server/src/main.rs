//! The `printmill` binary.
fn main() {}
