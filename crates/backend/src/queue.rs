//! The queue contract: the smallest that every broker can keep without lying.

use crate::error::BackendError;
use async_trait::async_trait;
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use std::time::Duration;

/// How long a queue remembers a message id to leave out a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// Not at all.
    None,
    /// For so long after the first was sent.
    Window(Duration),
    /// As long as the first is in the queue.
    WhilePresent,
}

/// What of an acknowledged send survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the machine.
    Synced,
    /// A crash of the process; a crash of the machine may lose the last moments.
    Periodic,
    /// Nothing.
    Memory,
}

/// Who may acknowledge, extend and release a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledBy {
    /// Whoever has its receipt: any process, through any handle.
    Anyone,
    /// The handle that leased it, and its clones; leases belong to its connection.
    Holder,
}

/// What `stats` counts of what is leased or delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All of it, whoever holds it.
    Everything,
    /// Only what is ready, and what this handle holds.
    ReadyAndOwn,
}

/// What a queue can do and promises. Probed when connecting, never assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCaps {
    /// Its name in messages: `sqlite`, `memory`.
    pub name: &'static str,
    /// The longest delay that `send` and `release` take.
    pub delay_max: Duration,
    /// The longest lease that `lease` and `extend` take.
    pub lease_max: Duration,
    /// Who may settle a delivery.
    pub settled_by: SettledBy,
    /// Whether acknowledging, extending and releasing by an old holder is refused.
    pub fenced_settle: bool,
    /// Whether `attempt` counts exactly.
    pub exact_attempts: bool,
    /// Whether and how long repeated ids are left out.
    pub dedup: Dedup,
    /// The largest payload in bytes.
    pub payload_max: usize,
    /// Whether `stats` counts exactly.
    pub exact_stats: bool,
    /// What `stats` counts.
    pub counted: Counted,
    /// What survives.
    pub durability: Durability,
    /// Whether several processes may use it at the same time.
    pub shared: bool,
}

/// A message: a hint that a ticket waits. It never holds the work itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The ticket, which is also the message's id.
    pub ticket: TicketId,
    /// The W3C `traceparent`, or nothing.
    pub trace: Option<String>,
    /// Not before so long from now.
    pub delay: Duration,
}

/// What a queue needs to settle a delivery. Its content belongs to the adapter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The lane that it came from.
    pub lane: Lane,
    /// The adapter's own handle.
    pub handle: String,
}

/// A message that was leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The ticket.
    pub ticket: TicketId,
    /// The trace, as it was sent.
    pub trace: Option<String>,
    /// How often it was delivered, from 1, as far as the queue knows.
    pub attempt: u32,
    /// What settles it.
    pub receipt: Receipt,
}

/// How much a lane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Waiting and deliverable.
    pub ready: u64,
    /// Leased.
    pub in_flight: u64,
    /// Waiting for their delay to end.
    pub delayed: u64,
}

impl QueueStats {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.ready + self.in_flight + self.delayed
    }
}

/// Why a delivery could not be settled or extended.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The lease is gone: it ran out, or the delivery was settled.
    #[error("the lease on the message is gone")]
    Lost,
    /// The queue failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A queue with one lane per name.
///
/// # Contract
///
/// - **At least once.** A message that was sent is delivered until it is acknowledged.
/// - **Leases.** A delivered message is not delivered again before its lease runs out or it is
///   released; after that it is.
/// - **Holders that are gone.** The lease of a handle that is dropped without settling ends when it
///   would have ended anyway, or before.
/// - **Extending** makes the lease end `ttl` from now. A queue that cannot let a message be held for
///   so long in all answers `Lost`, and delivers it again.
/// - **Delays.** A message with a delay is not delivered before it has passed.
/// - **Refusals.** A delay, lease or payload beyond the capabilities is refused with
///   `Rejected`; nothing is ever shortened silently.
/// - **Per item.** `send` answers for each message by itself. After an error a message may or may
///   not be in the queue; sending it again is always right.
/// - **Duplicates and reordering** are possible. With `Dedup::WhilePresent` a message whose id is
///   in the lane is not added again.
/// - **Receipts** settle through any handle where `settled_by` is `Anyone`. Where it is `Holder`,
///   other handles answer `Lost`, and the lease runs out: its message comes again, as if its holder
///   had died, and whoever gets it asks the database.
/// - **Late settling** by a holder whose lease is over is `Lost` or done, and never a failure.
/// - **Fencing.** Only where `fenced_settle` is set, a holder whose lease ran out and was leased
///   by another is refused with `Lost`.
/// - **Lanes.** A message is delivered from the lane that it was sent to, and from no other.
/// - **Waiting.** `lease` returns as soon as there is a message, and empty after `wait`.
/// - **Neighbours.** A message that is never acknowledged keeps coming, and does not keep others.
/// - **Counting.** Where `exact_stats` is set, `stats` counts exactly. Elsewhere it may tell less
///   apart, and lag, but once the lane rests the total is right; of what `counted` says.
/// - **Restarts.** A handle works again by itself when its store is back; until then it answers
///   with errors that are worth trying again. What was sent is there, as far as `durability` goes.
/// - **Wiping.** When the queue's store is lost, it starts empty and works; it never fails for
///   that. Its content is rebuilt from the database.
/// - **Who retries.** The caller.
#[async_trait]
pub trait Queue: Send + Sync {
    /// What it can do and promises.
    fn caps(&self) -> &QueueCaps;

    /// Makes sure that a lane exists. Harmless when it does.
    async fn ensure(&self, lane: &Lane) -> Result<(), BackendError>;

    /// Sends messages to a lane; one answer for each, in order.
    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>>;

    /// Leases up to `count` messages for `ttl`, waiting up to `wait` for the first.
    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError>;

    /// Makes a lease end `ttl` from now.
    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError>;

    /// Takes a message out of the queue: its ticket is settled.
    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError>;

    /// Gives a message back, to be delivered again after `delay`.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError>;

    /// How much a lane holds.
    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError>;
}
