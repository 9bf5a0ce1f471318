//! Promises to users, end to end: real processes, the public API, kills and hostile input.

mod chaos;
mod check;
mod hostile;
mod leaving;
mod memory;
mod node_killed;
mod profiles;
mod python_worker;
mod queue_lost;
mod shipped;
mod slow_store;
mod startup;
mod status;
mod storage_trouble;
mod supervised;
mod upgrades;
mod worker_killed;

use printmill_client::facility::FacilityNote;
use printmill_testkit::Place;
use printmill_testkit::shop::run_facility_that_tells;
use tokio_util::sync::CancellationToken;

/// Runs all facilities of a place until the guard is dropped.
fn run_facilities(place: &Place) -> anyhow::Result<tokio_util::sync::DropGuard> {
    run_facilities_that_tell(place, |_| {})
}

/// The same, telling somebody what they do.
fn run_facilities_that_tell(
    place: &Place,
    observer: impl Fn(FacilityNote) + Clone + Send + Sync + 'static,
) -> anyhow::Result<tokio_util::sync::DropGuard> {
    let all = CancellationToken::new();
    for facility in place.facilities()? {
        let key = place.facility_key(&facility)?;
        let spool = place.beside(&format!("spool-{facility}"));
        let tells = observer.clone();
        let (stop, _) = run_facility_that_tells(&place.address(), &key, spool, tells)?;
        let all = all.clone();
        tokio::spawn(async move {
            all.cancelled().await;
            stop.cancel();
        });
    }
    Ok(all.drop_guard())
}
