//! The database as a process sees it: slow, and failing before and after commits take effect.

use crate::history::{Committed, Wanted, What};
use crate::locked;
use crate::process::Process;
use crate::roles::WORKER;
use crate::run::Without;
use crate::schedules;
use crate::site::Site;
use async_trait::async_trait;
use printmill_backend::change::{
    Change, CommitError, Expected, Record, RequestRecord, TicketGuard,
};
use printmill_backend::database::{
    Alike, Database, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount,
    TicketQuery, WAKE_WITHIN,
};
use printmill_backend::error::BackendError;
use printmill_backend::fresh;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::ticket::Ticket;
use printmill_domain::worker::Worker;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// A process's connection to the database.
pub(crate) struct SimulatedDatabase(pub(crate) Arc<Process>);

impl SimulatedDatabase {
    /// A read: it takes time on the way there and on the way back, and may fail.
    async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.0.step().await;
        self.0.fails(self.0.site.weather.read, "read", "before")?;
        let read = reading.await;
        self.0.step().await;
        read
    }

    /// What a database leaves behind that does not undo the whole of a commit that failed.
    async fn torn(&self, mut change: Change) -> Result<(), CommitError> {
        change.records.retain(|write| write.record.kind == Kind::Consumer);
        if self.0.site.without != Some(Without::Atomicity) || change.records.is_empty() {
            return Ok(());
        }
        self.0.site.database.commit(change).await
    }

    /// The change as a database would take it that keeps less of the contract than it must.
    async fn sabotaged(&self, mut change: Change) -> Result<Change, BackendError> {
        match self.0.site.without {
            Some(Without::RequestRecords) => change.request = None,
            Some(Without::Fence) => {
                for write in &mut change.tickets {
                    let stored = self.0.site.database.tickets(&[write.ticket.id]).await?;
                    if let (TicketGuard::Held { .. }, [stored]) = (write.guard, stored.as_slice()) {
                        write.ticket.version = stored.version + 1;
                        write.guard = TicketGuard::Version(stored.version);
                    }
                }
            }
            Some(Without::TickGuards) => {
                for write in &mut change.records {
                    let Record { kind: kind @ Kind::Schedule, id, .. } = &write.record else {
                        continue;
                    };
                    let scope = Scope::Merchant(MerchantId::PLATFORM);
                    let Some(stored) = self.0.site.database.get(scope, *kind, id).await? else {
                        continue;
                    };
                    if write.expected == Expected::Version(stored.version) {
                        return Ok(change);
                    }
                    write.record.version = stored.version + 1;
                    write.expected = Expected::Version(stored.version);
                    change.events.clear();
                }
                for write in &mut change.tickets {
                    if write.guard == TicketGuard::New && write.ticket.kind == schedules::KIND {
                        write.ticket.id = fresh::id(change.at);
                    }
                }
            }
            Some(
                Without::Reconciler
                | Without::MissedTicks
                | Without::Atomicity
                | Without::Limits
                | Without::Steering,
            )
            | None => {}
        }
        Ok(change)
    }

    /// A record of a worker, as whoever asks for it gets it.
    fn looked(&self, mut found: Record) -> Record {
        if !self.0.name.starts_with(WORKER) {
            return found;
        }
        if let Some(wanted) = Wanted::read(&found.document) {
            self.0.record(What::Looked(wanted));
        }
        if self.0.site.without == Some(Without::Steering)
            && let Ok(mut worker) = serde_json::from_str::<Worker>(&found.document)
        {
            worker.draining = false;
            for served in &mut worker.lanes {
                (served.paused, served.wanted) = (false, None);
            }
            found.document = Record::of(&worker, found.version, found.updated_at).document;
        }
        found
    }

    fn announce(&self) {
        let site = &self.0.site;
        let together = site.weather.together;
        tell(site, |name| together || *name == self.0.name);
        if !together {
            let within = u64::try_from(WAKE_WITHIN.as_millis()).unwrap_or_default();
            let after = Duration::from_millis(site.chance.between(1..=within));
            let (site, own) = (site.clone(), self.0.name.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                tell(&site, |name| *name != own);
            });
        }
    }
}

/// Tells the processes that are meant of a commit.
fn tell(site: &Site, meant: impl Fn(&String) -> bool) {
    let mut listeners = locked(&site.listeners);
    listeners.retain(|(_, listener)| !listener.is_closed());
    for (_, listener) in listeners.iter().filter(|(name, _)| meant(name)) {
        listener.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Database for SimulatedDatabase {
    fn caps(&self) -> &DatabaseCaps {
        self.0.site.database.caps()
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        let site = &self.0.site;
        self.0.step().await;
        if let Err(failed) = self.0.fails(site.weather.commit_before, "commit", "before") {
            self.torn(change).await?;
            return Err(failed.into());
        }
        // What is recorded is what was asked for: the model does not trust the database.
        let committed = Committed::of(&change);
        let committing = site.database.commit(self.sabotaged(change).await?).await;
        if committing.is_ok() {
            site.events.fetch_add(committed.events.len() as u64, Ordering::Relaxed);
            self.0.record(What::Committed(committed));
            self.announce();
            self.0.fails(site.weather.commit_after, "commit", "after")?;
        }
        self.0.step().await;
        committing
    }

    async fn get(
        &self,
        scope: Scope,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Record>, BackendError> {
        let found = self.read(self.0.site.database.get(scope, kind, id)).await?;
        Ok(if kind == Kind::Worker { found.map(|found| self.looked(found)) } else { found })
    }

    async fn get_many(
        &self,
        scope: Scope,
        kind: Kind,
        ids: &[String],
    ) -> Result<Vec<Record>, BackendError> {
        self.read(self.0.site.database.get_many(scope, kind, ids)).await
    }

    async fn list(
        &self,
        scope: Scope,
        kind: Kind,
        page: Page,
    ) -> Result<Vec<Record>, BackendError> {
        self.read(self.0.site.database.list(scope, kind, page)).await
    }

    async fn request(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<RequestRecord>, BackendError> {
        self.read(self.0.site.database.request(merchant, id)).await
    }

    async fn tickets(&self, ids: &[TicketId]) -> Result<Vec<Ticket>, BackendError> {
        self.read(self.0.site.database.tickets(ids)).await
    }

    async fn find_tickets(
        &self,
        query: TicketQuery,
        limit: u32,
    ) -> Result<Vec<Ticket>, BackendError> {
        self.read(self.0.site.database.find_tickets(query, limit)).await
    }

    async fn next_tickets(&self, of: &[Alike], each: u32) -> Result<Vec<Ticket>, BackendError> {
        self.read(self.0.site.database.next_tickets(of, each)).await
    }

    async fn ticket_counts(&self) -> Result<Vec<StageCount>, BackendError> {
        self.read(self.0.site.database.ticket_counts()).await
    }

    async fn oldest_ready(&self) -> Result<Vec<OldestReady>, BackendError> {
        self.read(self.0.site.database.oldest_ready()).await
    }

    async fn sequence(&self, limit: u32) -> Result<u32, BackendError> {
        self.read(self.0.site.database.sequence(limit)).await
    }

    async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, BackendError> {
        self.read(self.0.site.database.prune(what, before, limit)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, BackendError> {
        self.read(self.0.site.database.events(query)).await
    }

    async fn head(&self) -> Result<u64, BackendError> {
        self.read(self.0.site.database.head()).await
    }

    async fn oldest(&self) -> Result<u64, BackendError> {
        self.read(self.0.site.database.oldest()).await
    }

    async fn seq_at(&self, time: Timestamp) -> Result<u64, BackendError> {
        self.read(self.0.site.database.seq_at(time)).await
    }

    fn commits(&self) -> watch::Receiver<u64> {
        // A channel for each listener, since one wakes its receivers in no fixed order.
        let (sender, receiver) = watch::channel(0);
        locked(&self.0.site.listeners).push((self.0.name.clone(), sender));
        receiver
    }
}
