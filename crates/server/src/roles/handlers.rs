//! The handlers of all kinds of ticket: the worker role runs them, the api role settles by their
//! rules what workers outside did.

use crate::config::Settings;
use crate::wiring::Backends;
use printmill_engine::budget::MemoryBudget;
use printmill_engine::cancel::CancelTicket;
use printmill_engine::handler::Handlers;
use printmill_engine::housekeeping::Housekeeping;
use std::path::PathBuf;

/// Pictures that are held at the same time, in bytes. One that must be decoded takes up to 96 MiB
/// more; together they stay below 256 MiB.
const PICTURE_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// The folder for files that are being made.
pub(crate) fn spool(settings: &Settings) -> PathBuf {
    settings.data.join("spool")
}

/// All handlers.
pub(crate) fn all(settings: &Settings, backends: &Backends) -> Handlers {
    let Backends { database, blobs, payments, clock, .. } = backends.clone();
    let housekeeping = Housekeeping::new(database.clone(), clock, settings.retention());
    let memory = MemoryBudget::new(PICTURE_BYTES_MAX);
    let spool = spool(settings);
    let handlers = Handlers::default()
        .with(housekeeping)
        .with(printmill_assets::Inspect::new(database.clone(), blobs.clone(), memory.clone()))
        .with(printmill_orders::Charge::new(database.clone(), payments))
        .with(printmill_fulfilment::Route::new(database.clone()))
        .with(printmill_fulfilment::Make::new(database.clone()))
        .with(printmill_prints::Render::new(database.clone(), blobs, spool, memory));
    handlers.clone().with(CancelTicket::new(database, handlers))
}
