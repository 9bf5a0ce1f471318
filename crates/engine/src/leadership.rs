//! Leading: one process at a time does what several would do worse.

use chrono::TimeDelta;
use printmill_backend::database::Scope;
use printmill_backend::{BackendError, Change, Clock, CommitError, Database, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::MerchantId;
use printmill_domain::leadership::Leadership;
use std::sync::Arc;

/// How long a leader that says nothing any more is waited for.
const TERM: TimeDelta = TimeDelta::seconds(3);
/// So long before its end a term is renewed, if there is anything to do.
const RENEW_BEFORE: TimeDelta = TimeDelta::milliseconds(1_500);

/// Whether this process leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It does.
    Here,
    /// Another one does, until then at least.
    Elsewhere(Timestamp),
}

/// A candidate for the lead in something.
///
/// Leading costs a commit for each 1.5 seconds with something to do, and nothing without. A leader
/// that stood still may for a moment believe that it still leads: what it does must be harmless
/// when two do it.
pub(crate) struct Candidate {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    name: &'static str,
    holder: String,
    leads_until: Option<Timestamp>,
}

impl Candidate {
    pub(crate) fn new(
        database: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        name: &'static str,
    ) -> Self {
        let holder = format!("{:016x}", u64::from_ne_bytes(fresh::bytes()));
        Self { database, clock, name, holder, leads_until: None }
    }

    /// Takes the lead, or renews it when it is time.
    pub(crate) async fn lead(&mut self) -> Result<Lead, BackendError> {
        loop {
            let now = self.clock.now();
            if self.leads_until.is_some_and(|until| now + RENEW_BEFORE < until) {
                return Ok(Lead::Here);
            }
            self.leads_until = None;
            let found = self.find().await?;
            let change = Change::new(MerchantId::PLATFORM, now);
            let (change, until) = match &found {
                None => {
                    let new = Leadership::new(self.name, &self.holder, TERM, now);
                    let until = new.until;
                    (change.create(Decided::quiet(new)), until)
                }
                Some(found) => match found.take(&self.holder, TERM, now) {
                    None => return Ok(Lead::Elsewhere(found.until)),
                    Some(taken) => {
                        let until = taken.until;
                        (change.update(found, Decided::quiet(taken)), until)
                    }
                },
            };
            match self.database.commit(change).await {
                Ok(()) => {
                    self.leads_until = Some(until);
                    return Ok(Lead::Here);
                }
                Err(CommitError::Backend(error)) => return Err(error),
                // Another one was faster.
                Err(_) => {}
            }
        }
    }

    /// Gives the lead up, so that nobody need wait for the end of the term.
    pub(crate) async fn resign(&mut self) {
        if self.leads_until.take().is_none() {
            return;
        }
        let now = self.clock.now();
        let Ok(Some(found)) = self.find().await else { return };
        if let Some(resigned) = found.resign(&self.holder, now) {
            let change = Change::new(MerchantId::PLATFORM, now);
            // If it fails, the term ends by itself.
            let _ = self.database.commit(change.update(&found, Decided::quiet(resigned))).await;
        }
    }

    async fn find(&self) -> Result<Option<Versioned<Leadership>>, BackendError> {
        self.database.find(Scope::Merchant(MerchantId::PLATFORM), self.name).await
    }
}
