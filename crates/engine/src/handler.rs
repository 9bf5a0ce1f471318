//! Handlers: what capabilities do when a ticket of theirs is leased.

use async_trait::async_trait;
use printmill_backend::database::Scope;
use printmill_backend::{BackendError, Change, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Versioned};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::Id;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::Ticket;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// A leased ticket as its handler sees it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The ticket as it was claimed.
    pub ticket: Ticket,
    progress: Arc<AtomicU16>,
    message: Arc<Mutex<String>>,
    cancelled: CancellationToken,
}

impl Work {
    /// Work on a claimed ticket.
    pub fn new(ticket: Ticket, cancelled: CancellationToken) -> Self {
        Self { ticket, progress: Arc::default(), message: Arc::default(), cancelled }
    }

    /// Work of the same attempt seen as being about another ticket.
    pub(crate) fn about(&self, ticket: Ticket) -> Self {
        Self { ticket, ..self.clone() }
    }

    /// Says in a few words what is being done; the next heartbeat carries the last of them.
    pub fn say(&self, message: impl Into<String>) {
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = message.into();
    }

    /// What the work says that it is doing.
    pub fn message(&self) -> String {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how far the work is, in thousandths; the next heartbeat carries it.
    pub fn report(&self, progress: u16) {
        self.progress.fetch_max(progress.min(1000), Ordering::Relaxed);
    }

    /// How far the work says it is.
    pub fn progress(&self) -> u16 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Whether the work is not wanted any more: the lease is lost, the ticket was cancelled or is
    /// past its deadline, or the node is leaving.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits until the work is not wanted any more.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// One of the ids in the payload.
    pub fn id<T: Id>(&self, name: &str) -> Result<T, Failure> {
        T::parse(self.text(name)).map_err(|error| self.unusable(name, &error))
    }

    /// One of the times in the payload.
    pub fn time(&self, name: &str) -> Result<Timestamp, Failure> {
        self.text(name).parse().map_err(|error| self.unusable(name, &error))
    }

    fn text(&self, name: &str) -> &str {
        self.ticket.payload.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn unusable(&self, name: &str, error: &dyn std::fmt::Display) -> Failure {
        let message = format!("the payload of {} has no good '{name}'", self.ticket.id);
        tracing::error!(ticket = %self.ticket.id, %error, "payload is unusable");
        Failure::hopeless(Problem::new(Code::Internal, message, "report this as a fault"))
    }
}

impl Work {
    /// Something of the ticket's merchant that the work needs. Without it the work is hopeless.
    pub async fn load<A: Aggregate>(
        &self,
        database: &dyn Database,
        id: impl std::fmt::Display,
    ) -> Result<Versioned<A>, Failure> {
        let scope = Scope::Merchant(self.ticket.merchant);
        let found = database.find::<A>(scope, &id.to_string()).await?;
        found.ok_or_else(|| Failure::hopeless(Problem::not_found(A::KIND.name(), id)))
    }
}

/// Why an attempt failed, and whether another can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What people see.
    pub problem: Problem,
    /// Whether trying again cannot help.
    pub hopeless: bool,
}

impl Failure {
    /// A failure that trying again cannot mend.
    pub fn hopeless(problem: Problem) -> Self {
        Self { problem, hopeless: true }
    }

    /// A failure that may pass.
    pub fn passing(problem: Problem) -> Self {
        Self { problem, hopeless: false }
    }
}

/// A refusal by the rules stays one, unless its code says otherwise.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let passing = problem.code.retryable() || problem.code == Code::Internal;
        Self { hopeless: !passing, problem }
    }
}

/// A backend's failure may pass, whatever it is: the retries are bounded.
impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        tracing::warn!(error = %error.chain(), "backend failed during work");
        Self::passing(error.into())
    }
}

/// Does the work of one kind of ticket, in two steps: `perform` does what takes time or touches
/// the outside, and must be repeatable; `decide` loads, decides and proposes the change that
/// commits the effect together with the end of the ticket.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The kind of ticket.
    fn kind(&self) -> &'static str;

    /// What takes time. It may run more than once, so its effects must be repeatable: blobs
    /// named by content, charges with an idempotency key.
    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        let _ = work;
        Ok(Value::Null)
    }

    /// Decides what to commit. Called again when something changed before the commit.
    async fn decide(
        &self,
        work: &Work,
        performed: &Value,
        now: Timestamp,
    ) -> Result<Change, Failure>;

    /// What to commit when the ticket is given up or cancelled, so that people see it where they
    /// look.
    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        let _ = problem;
        Ok(Change::new(work.ticket.merchant, now))
    }

    /// Whether workers outside may do what `perform` does.
    fn is_open(&self) -> bool {
        false
    }

    /// Whether operators may have schedules make such tickets.
    fn is_schedulable(&self) -> bool {
        false
    }

    /// What a worker outside needs for the work.
    async fn needs(&self, work: &Work) -> Result<Needs, Failure> {
        let _ = work;
        Ok(Needs::default())
    }

    /// Checks what a worker outside answered, and makes of it what `perform` would have given.
    /// Nothing is changed by a refusal.
    async fn accept(&self, work: &Work, answer: Value) -> Result<Value, Problem> {
        let _ = answer;
        Err(closed(&work.ticket.kind))
    }

    /// How often and when a failed ticket is tried again.
    fn retry(&self) -> RetryPolicy {
        RetryPolicy::default()
    }
}

/// What a worker outside needs for its work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// Files of the ticket's merchant, by what the work calls them.
    pub files: Vec<NeededFile>,
    /// What else it needs: an object, or nothing.
    pub details: Value,
}

/// A file that a worker outside needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededFile {
    /// What the work calls it.
    pub name: String,
    /// The file.
    pub blob: BlobRef,
    /// Its media type.
    pub media_type: String,
}

/// The refusal of a kind that only Printmill itself works on.
pub fn closed(kind: &str) -> Problem {
    Problem::new(
        Code::PermissionDenied,
        format!("{kind} is worked on by Printmill itself"),
        "lease kinds that workers outside may work on: see docs/guides/workers.md",
    )
}

/// Handlers by kind.
#[derive(Clone, Default)]
pub struct Handlers {
    by_kind: BTreeMap<&'static str, Arc<dyn Handler>>,
}

impl Handlers {
    /// Adds a handler. A later one for the same kind replaces an earlier one.
    pub fn with(mut self, handler: impl Handler + 'static) -> Self {
        self.by_kind.insert(handler.kind(), Arc::new(handler));
        self
    }

    /// The handler for a kind.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Handler>> {
        self.by_kind.get(kind)
    }
}
