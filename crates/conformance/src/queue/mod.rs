//! The queue's contract.
//!
//! Brokers know no stopped time, so these cases use short real times; they wait by leasing, and
//! pause only before they try again what a store that is not back has refused.

mod delivery;
mod fencing;
mod history;
mod leases;
mod poison;
mod refusals;
mod restart;
mod sending;
mod store;

use crate::samples::id;
use crate::subject::Subject;
use crate::suite::{Case, Suite};
use anyhow::ensure;
use printmill_backend::BackendError;
use printmill_backend::queue::{Delivery, Durability, Message, Queue, QueueCaps, SettleError};
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Store = Subject<dyn Queue>;
type Handle = Arc<dyn Queue>;

/// A lease that does not run out during a case.
const LONG: Duration = Duration::from_secs(60);
/// A lease or delay that ends during a case.
const SHORT: Duration = Duration::from_millis(300);
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what must not come.
const QUIET: Duration = Duration::from_millis(150);

/// What a queue claims and its test offers.
struct Claims {
    caps: QueueCaps,
    reopens: bool,
    restarts: bool,
    shared: bool,
    wipes: bool,
}

impl Claims {
    fn of(subject: &Store, queue: &(dyn Queue + 'static)) -> Self {
        let caps = queue.caps().clone();
        let outlives = caps.durability != Durability::Memory;
        Self {
            reopens: subject.opens() && outlives,
            restarts: subject.restarts() && outlives,
            shared: subject.opens() && caps.shared,
            wipes: subject.wipes(),
            caps,
        }
    }
}

/// Why most cases may run beside a deployment in use. The others are not safe because they send
/// thousands of messages, leave behind what is delayed for long, or stop or lose the store.
const FEW: &str = "a few messages, in lanes of its own that are emptied afterwards";

/// The cases of the queue's contract.
#[cfg(feature = "trials")]
pub fn queue_trials<F, Fut>(adapter: &str, factory: F) -> Vec<libtest_mimic::Trial>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Store>> + Send + 'static,
{
    let stores = crate::trials::Stores::made_by(factory);
    let unknown =
        Claims { caps: everything(), reopens: true, restarts: true, shared: true, wipes: true };
    let claims = stores.probe(unknown, Claims::of);
    stores.trials(adapter, "queue", cases(&claims))
}

/// The cases of the queue's contract, for this one.
pub fn queue_cases(subject: &Store) -> anyhow::Result<Vec<Case<dyn Queue>>> {
    Ok(cases(&Claims::of(subject, &*subject.handle()?)))
}

fn cases(claims: &Claims) -> Vec<Case<dyn Queue>> {
    let mut suite = Suite::new();
    delivery::cases(&mut suite, claims);
    leases::cases(&mut suite, claims);
    sending::cases(&mut suite, claims);
    refusals::cases(&mut suite, claims);
    fencing::cases(&mut suite, claims);
    store::cases(&mut suite, claims);
    restart::cases(&mut suite, claims);
    poison::cases(&mut suite, claims);
    history::cases(&mut suite);
    suite.finish()
}

/// The capabilities of a queue that could not be asked: all its cases run, and say why.
#[cfg(feature = "trials")]
fn everything() -> QueueCaps {
    use printmill_backend::queue::{Counted, Dedup, SettledBy};
    QueueCaps {
        name: "unknown",
        delay_max: LONG,
        lease_max: LONG,
        settled_by: SettledBy::Anyone,
        fenced_settle: true,
        exact_attempts: true,
        dedup: Dedup::WhilePresent,
        payload_max: 1024,
        exact_stats: true,
        counted: Counted::Everything,
        durability: Durability::Synced,
        shared: true,
    }
}

fn lane() -> Lane {
    crate::samples::lane("conformance")
}

fn message() -> Message {
    Message { ticket: id(0), trace: None, delay: Duration::ZERO }
}

/// Makes sure of the lane, and sends messages that must all be taken.
async fn send(queue: &Handle, messages: &[Message]) -> anyhow::Result<()> {
    queue.ensure(&lane()).await?;
    let answers = queue.send(&lane(), messages).await;
    ensure!(answers.len() == messages.len(), "{} answers", answers.len());
    for answer in answers {
        answer?;
    }
    Ok(())
}

/// Leases one message that must come.
async fn take(queue: &Handle, ttl: Duration) -> anyhow::Result<Delivery> {
    let deliveries = queue.lease(&lane(), 1, ttl, PATIENCE).await?;
    match <[Delivery; 1]>::try_from(deliveries) {
        Ok([delivery]) => Ok(delivery),
        Err(other) => anyhow::bail!("expected one message, but got {other:?}"),
    }
}

/// Tries until a store that comes back is there again, as callers do.
async fn once_back<T, F>(mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(error) if error.retryable() && began.elapsed() < PATIENCE => {
                tokio::time::sleep(QUIET).await;
            }
            other => return Ok(other?),
        }
    }
}

/// Makes sure that nothing is delivered for a moment.
async fn expect_quiet(queue: &Handle) -> anyhow::Result<()> {
    let deliveries = queue.lease(&lane(), 10, LONG, QUIET).await?;
    ensure!(deliveries.is_empty(), "expected nothing, but got {deliveries:?}");
    Ok(())
}

/// Makes sure that a message is the one meant.
fn expect_ticket(delivery: &Delivery, ticket: TicketId) -> anyhow::Result<()> {
    ensure!(delivery.ticket == ticket, "expected {ticket}, but got {delivery:?}");
    Ok(())
}

fn expect_lost(answer: Result<(), SettleError>) -> anyhow::Result<()> {
    ensure!(matches!(answer, Err(SettleError::Lost)), "expected Lost, but got {answer:?}");
    Ok(())
}
