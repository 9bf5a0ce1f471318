//! The rules of the domain, tested with random lives: any commands, in any order, at any time.

mod assets;
mod documents;
mod fairness;
mod fixtures;
mod history;
mod order_life;
mod orders;
mod pricing;
mod print_jobs;
mod prints;
mod quotes;
mod recurrences;
mod routing;
mod scaling;
mod schedules;
mod subscriptions;
mod tickets;
mod workers;

/// How every property here is tried. A failing case is printed with its shrunk input and kept as
/// a seed in `tests/proptest-regressions/`.
fn cases(count: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases: count, ..Default::default() }
}
