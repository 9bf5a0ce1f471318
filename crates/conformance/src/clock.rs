//! The clock's contract.

use crate::subject::Subject;
use crate::suite::{Suite, cases};
use crate::trials::Stores;
use anyhow::ensure;
use libtest_mimic::Trial;
use printmill_backend::Clock;
use std::future::ready;
use std::sync::Arc;

/// The cases of the clock's contract.
pub fn clock_trials(adapter: &str, clock: Arc<dyn Clock>) -> Vec<Trial> {
    let stores = Stores::made_by(move || ready(Ok(Subject::of(clock.clone()))));
    let mut suite = Suite::new();
    cases!(suite, "precision", [is_a_microsecond_or_coarser]);
    stores.trials(adapter, "clock", suite.finish())
}

async fn is_a_microsecond_or_coarser(subject: Subject<dyn Clock>) -> anyhow::Result<()> {
    let clock = subject.handle()?;
    for _ in 0..1000 {
        let now = clock.now();
        ensure!(now.timestamp_subsec_nanos() % 1000 == 0, "{now} is finer than a microsecond");
    }
    Ok(())
}
