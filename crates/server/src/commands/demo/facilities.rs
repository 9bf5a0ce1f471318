//! The facilities of the demo: a client for each, with a key of its own, in this process.

use super::screen::Screen;
use crate::bootstrap;
use crate::failure::Outcome;
use console::style;
use printmill_backend::Database;
use printmill_client::Client;
use printmill_client::facility::{FacilityClient, FacilityNote, FacilityOptions, SimulatedPress};
use printmill_domain::Timestamp;
use printmill_domain::api_key::{PresentedKey, Scope};
use printmill_domain::facility::Facility;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All facilities, and what stops them.
pub(super) struct Facilities {
    all: Vec<(Facility, PresentedKey)>,
    press_time: Duration,
    spool: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Facilities {
    /// All open facilities, each with a fresh key.
    pub(super) async fn with_keys(
        database: &dyn Database,
        now: Timestamp,
        press_time: Duration,
        spool: PathBuf,
    ) -> Outcome<Self> {
        let mut all = vec![];
        for facility in bootstrap::facilities(database).await? {
            let scope = Scope::Facility(facility.id);
            let key = bootstrap::new_key(database, "demo", scope, now).await?;
            all.push((facility, key));
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self { all, press_time, spool, stop, tasks })
    }

    /// Starts a client for each.
    pub(super) fn start(&self, address: &str, screen: &Screen) -> Outcome {
        for (facility, key) in &self.all {
            let client = Client::connect(address, Some(&key.reveal()))?;
            let spool = self.spool.join(facility.id.to_string());
            let options = FacilityOptions::new(spool, format!("{}, demo", facility.name));
            let press = Arc::new(SimulatedPress { time: self.press_time });
            let (name, shown) = (facility.name.clone(), screen.clone());
            let observer = move |note: FacilityNote| {
                if let Some(text) = line(&note) {
                    shown.say(&format!("               {} {name} {text}", style("└").dim()));
                }
            };
            let facility = FacilityClient::new(client, options, press, observer);
            let (stop, shown) = (self.stop.clone(), screen.clone());
            self.tasks.spawn(async move {
                if let Err(error) = facility.run(stop).await {
                    shown.say(&format!("  a facility stopped: {error} ({})", error.code));
                }
            });
        }
        Ok(())
    }

    /// Stops all clients and waits for them.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The ids of the facilities' keys.
    pub(super) fn key_ids(&self) -> Vec<String> {
        self.all.iter().map(|(_, key)| key.id.to_string()).collect()
    }
}

/// What a facility says beside the order's own events.
fn line(note: &FacilityNote) -> Option<String> {
    match note {
        FacilityNote::Leased(job) => {
            Some(format!("leased the job: {} × {}, {} pages", job.quantity, job.sku, job.pages))
        }
        FacilityNote::Accepted(job) => {
            let start = job.file_sha256.get(..12).unwrap_or_default();
            Some(format!("fetched the file and checked its SHA-256 {start}…"))
        }
        FacilityNote::Resumed(job) => Some(format!("goes on with {} of an earlier run", job.id)),
        FacilityNote::GivenUp { error, .. } => Some(format!("gave up: {error} ({})", error.code)),
        FacilityNote::Fetching { .. }
        | FacilityNote::Printing(_)
        | FacilityNote::Shipped(..)
        | FacilityNote::Waiting(_) => None,
    }
}
