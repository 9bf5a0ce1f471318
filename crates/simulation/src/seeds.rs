//! Many seeds, spread over the machine's cores: one seed on one thread at a time.

use crate::run::{Run, Without, simulate};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs seeds until one is as wanted; that one, or nothing. Of several that are so at the same
/// time it is the lowest.
///
/// # Errors
///
/// When a simulation could not go on.
pub fn first(
    seeds: Range<u64>,
    without: Option<Without>,
    wanted: impl Fn(&Run) -> bool + Sync,
) -> anyhow::Result<Option<Run>> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<anyhow::Result<Run>>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = simulate(seed, without);
            if run.as_ref().is_ok_and(|run| !wanted(run)) {
                continue;
            }
            // The others end what they are at, and stop.
            next.store(seeds.end, Ordering::Relaxed);
            let mut found = crate::locked(&found);
            let lower = match &*found {
                Some(Ok(other)) => other.seed > seed,
                _ => true,
            };
            if lower {
                *found = Some(run);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).transpose()
}
