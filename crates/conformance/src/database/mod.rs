//! The database's contract.

mod atomicity;
mod beside;
mod durability;
mod event_reads;
mod events;
mod fences;
mod log_order;
mod pruning;
mod reads;
mod requests;
mod scope;
mod tickets;
mod turns;
mod versions;

use crate::subject::Subject;
use crate::suite::{Case, Suite};
use printmill_backend::CommitError;
use printmill_backend::database::Database;
use std::sync::Arc;

type Store = Subject<dyn Database>;
type Handle = Arc<dyn Database>;

/// What a database claims and its test offers.
#[derive(Clone, Copy)]
struct Claims {
    reopens: bool,
    shared: bool,
    numbers_in_commit: bool,
}

impl Claims {
    fn of(subject: &Store, database: &(dyn Database + 'static)) -> Self {
        Self {
            reopens: subject.opens() && database.caps().durable,
            shared: subject.opens() && database.caps().shared,
            numbers_in_commit: database.caps().numbers_in_commit,
        }
    }
}

/// The cases of the database's contract.
#[cfg(feature = "trials")]
pub fn database_trials<F, Fut>(adapter: &str, factory: F) -> Vec<libtest_mimic::Trial>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: std::future::Future<Output = anyhow::Result<Store>> + Send + 'static,
{
    let stores = crate::trials::Stores::made_by(factory);
    let unknown = Claims { reopens: true, shared: true, numbers_in_commit: true };
    let claims = stores.probe(unknown, Claims::of);
    stores.trials(adapter, "database", cases(claims))
}

/// The cases of the database's contract, for this one.
pub fn database_cases(subject: &Store) -> anyhow::Result<Vec<Case<dyn Database>>> {
    Ok(cases(Claims::of(subject, &*subject.handle()?)))
}

/// Only those of `beside` are safe beside a deployment in use: the others write what workers would
/// do or others would read, read the whole log, or prune.
fn cases(claims: Claims) -> Vec<Case<dyn Database>> {
    let mut suite = Suite::new();
    beside::cases(&mut suite, claims);
    atomicity::cases(&mut suite);
    durability::cases(&mut suite, claims);
    versions::cases(&mut suite);
    fences::cases(&mut suite);
    requests::cases(&mut suite);
    events::cases(&mut suite);
    event_reads::cases(&mut suite);
    log_order::cases(&mut suite, claims);
    pruning::cases(&mut suite, claims);
    reads::cases(&mut suite, claims);
    scope::cases(&mut suite);
    tickets::cases(&mut suite);
    turns::cases(&mut suite);
    suite.finish()
}

/// Fails unless a commit was refused as stale, naming what is.
fn expect_stale(answer: Result<(), CommitError>, kind: &str, id: &str) -> anyhow::Result<()> {
    match answer {
        Err(CommitError::Stale { kind: k, id: i }) if k == kind && i == id => Ok(()),
        other => anyhow::bail!("expected {kind} {id} to be stale, but got {other:?}"),
    }
}

/// Fails unless a commit was refused because a ticket is not where it was expected.
fn expect_fence_lost(answer: Result<(), CommitError>, ticket: &str) -> anyhow::Result<()> {
    match answer {
        Err(CommitError::FenceLost { id }) if id == ticket => Ok(()),
        other => anyhow::bail!("expected the fence of {ticket} to be lost, but got {other:?}"),
    }
}
