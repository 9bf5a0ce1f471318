//! Commands: load, decide, commit; again when something changed in between; once per request id.

use printmill_backend::{Change, Clock, CommitError, Database, RequestRecord};
use printmill_domain::Timestamp;
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::{Code, Problem};
use std::future::Future;
use std::sync::Arc;

/// How often a command is decided again because something changed in between.
const ATTEMPTS_MAX: u32 = 16;

/// Who asks, and what identifies the request.
#[derive(Debug, Clone)]
pub struct Context {
    /// The merchant.
    pub merchant: MerchantId,
    /// The client's id for the request, if it gave one.
    pub request: Option<RequestKey>,
    /// The W3C `traceparent` of the request.
    pub trace: Option<String>,
    /// Decide, but commit nothing.
    pub validate_only: bool,
}

/// What identifies a request and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The client's id.
    pub id: String,
    /// SHA-256 of method and content, in hexadecimal.
    pub fingerprint: String,
}

impl Context {
    /// A context without request id, for a merchant.
    pub fn of(merchant: MerchantId) -> Self {
        Self { merchant, request: None, trace: None, validate_only: false }
    }
}

/// What a decision proposes.
#[derive(Debug)]
pub struct Proposal<T> {
    /// What to commit.
    pub change: Change,
    /// The id of what was made or changed; a repeated request is answered from there.
    pub outcome: String,
    /// What to answer.
    pub value: T,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// It was decided and committed now.
    Fresh(T),
    /// The same request was answered before; this is the id of what it made or changed.
    Replayed(String),
}

/// Runs commands against a database.
#[derive(Clone)]
pub struct Commands {
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
}

impl Commands {
    /// Runs commands against this database.
    pub fn new(database: Arc<dyn Database>, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// The database below, for reads.
    pub fn database(&self) -> &Arc<dyn Database> {
        &self.database
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Decides and commits. `decide` loads what it needs and proposes a change; it is called
    /// again when what it loaded changed before the commit.
    pub async fn run<T, F, Fut>(&self, context: &Context, decide: F) -> Result<Answer<T>, Problem>
    where
        F: Fn(Timestamp) -> Fut,
        Fut: Future<Output = Result<Proposal<T>, Problem>>,
    {
        for _ in 0..ATTEMPTS_MAX {
            let now = self.clock.now();
            let proposal = match decide(now).await {
                Ok(proposal) => proposal,
                Err(problem) => return self.replay(context, problem).await,
            };
            if context.validate_only {
                return Ok(Answer::Fresh(proposal.value));
            }
            let request = context.request.as_ref().map(|key| RequestRecord {
                id: key.id.clone(),
                fingerprint: key.fingerprint.clone(),
                outcome: proposal.outcome,
                at: now,
            });
            let change = proposal.change.answering(request).traced(context.trace.clone());
            if change.is_empty() {
                return Ok(Answer::Fresh(proposal.value));
            }
            match self.database.commit(change).await {
                Ok(()) => return Ok(Answer::Fresh(proposal.value)),
                Err(CommitError::Stale { .. }) => {}
                Err(CommitError::Answered(record)) => return answered(context, record),
                Err(CommitError::FenceLost { id }) => return Err(fence_lost(&id)),
                Err(CommitError::Backend(error)) => {
                    tracing::warn!(error = %error.chain(), "commit failed");
                    return Err(error.into());
                }
            }
        }
        Err(Problem::new(
            Code::Conflict,
            "it is being changed by others all the time",
            "try again in a moment with the same request id",
        ))
    }

    /// A refusal is an answer only if the request was not answered before.
    async fn replay<T>(&self, context: &Context, problem: Problem) -> Result<Answer<T>, Problem> {
        let Some(key) = &context.request else {
            return Err(problem);
        };
        match self.database.request(context.merchant, &key.id).await? {
            Some(record) => answered(context, record),
            None => Err(problem),
        }
    }
}

fn answered<T>(context: &Context, record: RequestRecord) -> Result<Answer<T>, Problem> {
    let same = context.request.as_ref().is_some_and(|key| key.fingerprint == record.fingerprint);
    if same {
        return Ok(Answer::Replayed(record.outcome));
    }
    Err(Problem::new(
        Code::RequestIdReused,
        format!("the request id '{}' was used for another request", record.id),
        "use a new request id for each new request, and the same one only to repeat it unchanged",
    ))
}

/// The refusal of a change whose ticket is not held any more.
fn fence_lost(id: &str) -> Problem {
    Problem::new(
        Code::LeaseLost,
        format!("the lease on {id} is not held any more"),
        "stop the work and lease again; whoever holds the ticket now will finish it",
    )
}
