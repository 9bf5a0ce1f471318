//! Promises to users, end to end: real processes, the public API, kills and hostile input.

mod chaos;
mod hostile;
mod leaving;
mod memory;
mod node_killed;
mod python_worker;
mod queue_lost;
mod shipped;
mod slow_store;
mod startup;
mod storage_trouble;
mod supervised;
mod worker_killed;

use printmill_testkit::Place;
use printmill_testkit::shop::run_facility;
use tokio_util::sync::CancellationToken;

/// Runs all facilities of a place until the guard is dropped.
fn run_facilities(place: &Place) -> anyhow::Result<tokio_util::sync::DropGuard> {
    let all = CancellationToken::new();
    for facility in place.facilities()? {
        let key = place.facility_key(&facility)?;
        let (stop, _) = run_facility(&place.address(), &key, place.beside(&facility))?;
        let all = all.clone();
        tokio::spawn(async move {
            all.cancelled().await;
            stop.cancel();
        });
    }
    Ok(all.drop_guard())
}
