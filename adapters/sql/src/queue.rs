//! The queue in a table, for deployments without a broker.

use crate::config::Location;
#[cfg(not(all(feature = "postgres", feature = "mysql")))]
use crate::database::not_built;
use crate::error::{SQL, SQLITE};
use crate::sqlite::claim::{Claimed, Hold};
use crate::sqlite::json_array::JsonArray;
use crate::sqlite::queue_file::QueueFile;
use crate::sqlite::queue_worker::{Lease, Operation, QueueWorker, after, again, now_micros};
use crate::sqlite::schema::{DELAYED, READY};
use async_trait::async_trait;
use printmill_backend::queue::{
    Counted, Dedup, Delivery, Durability, Message, Queue, QueueCaps, QueueStats, Receipt,
    SettleError, SettledBy,
};
use printmill_backend::{BackendError, Fault};
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::lane::Lane;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Operations that may wait; beyond it, callers wait to be let in.
const WAITING_MAX: usize = 1024;
/// The longest that `lease` waits at a time.
const WAIT_MAX: Duration = DAY;

/// A queue in a SQLite file of its own, which several processes of one machine may share, or in a
/// table on a PostgreSQL or MySQL server.
///
/// It holds nothing that cannot be rebuilt from the database. A file or table that is deleted,
/// replaced or damaged is noticed at its next use, and the queue starts empty.
#[derive(Debug, Clone)]
pub struct SqlQueue {
    caps: QueueCaps,
    operations: mpsc::Sender<Operation>,
}

impl SqlQueue {
    /// Opens the queue at an address like `sqlite:///var/lib/printmill/queue.db` or
    /// `postgres://user:password@host/database`. A file is created with its directory if there is
    /// none, and a damaged one is moved aside, to `….damaged`; on a server the queue makes its
    /// table, which may be in the same database as everything else.
    ///
    /// Fails as `SqlDatabase::open` does.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        match url.parse()? {
            Location::Sqlite(path) => {
                let (file, claims) = QueueFile::open(&path).await?;
                Ok(Self::start(capabilities(SQLITE, Durability::Periodic), |operations| {
                    QueueWorker::new(file, claims, operations).run()
                }))
            }
            #[cfg(feature = "postgres")]
            Location::Postgres(address) => crate::postgres::queue::open(address).await,
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => Err(not_built("postgres")),
            #[cfg(feature = "mysql")]
            Location::MySql(address) => crate::mysql::queue::open(address).await,
            #[cfg(not(feature = "mysql"))]
            Location::MySql(_) => Err(not_built("mysql")),
        }
    }

    /// A queue whose operations a task does.
    pub(crate) fn start<T: Future<Output = ()> + Send + 'static>(
        caps: QueueCaps,
        task: impl FnOnce(mpsc::Receiver<Operation>) -> T,
    ) -> Self {
        let (operations, arriving) = mpsc::channel(WAITING_MAX);
        tokio::spawn(task(arriving));
        Self { caps, operations }
    }

    /// Hands an operation to the task, and waits for its answer.
    async fn ask<T, E: From<BackendError>>(
        &self,
        operation: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Operation,
    ) -> Result<T, E> {
        let gone = || {
            BackendError::new(
                Fault::Unavailable,
                self.caps.name,
                "use the queue",
                "its task has ended",
            )
        };
        let (answer, answered) = oneshot::channel();
        self.operations.send(operation(answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone().into()))
    }

    fn check_lease(&self, ttl: Duration) -> Result<(), BackendError> {
        within("lease a message", "lease", ttl, self.caps.lease_max)
    }

    fn check_delay(&self, operation: &'static str, delay: Duration) -> Result<(), BackendError> {
        within(operation, "delay", delay, self.caps.delay_max)
    }

    fn check_message(&self, message: &Message) -> Result<(), BackendError> {
        const SEND: &str = "send a message";
        self.check_delay(SEND, message.delay)?;
        let trace = message.trace.as_deref().unwrap_or_default();
        let size = trace.len() + message.ticket.to_string().len();
        if size > self.caps.payload_max {
            let detail = format!("{size} bytes are more than {}", self.caps.payload_max);
            return Err(BackendError::new(Fault::Rejected, self.caps.name, SEND, detail));
        }
        if trace.contains('\0') {
            let detail = "text with a NUL character cannot be stored";
            return Err(BackendError::new(Fault::Rejected, self.caps.name, SEND, detail));
        }
        Ok(())
    }
}

/// What a queue in a table can do; `name` is the dialect's. Only what survives differs: see
/// `open` of each dialect.
pub fn capabilities(name: &'static str, durability: Durability) -> QueueCaps {
    QueueCaps {
        name,
        delay_max: DAY * 365,
        lease_max: DAY * 7,
        settled_by: SettledBy::Anyone,
        fenced_settle: true,
        exact_attempts: true,
        dedup: Dedup::WhilePresent,
        payload_max: 64 * 1024,
        exact_stats: true,
        counted: Counted::Everything,
        durability,
        shared: true,
    }
}

fn within(
    operation: &'static str,
    what: &str,
    wanted: Duration,
    longest: Duration,
) -> Result<(), BackendError> {
    if wanted <= longest {
        return Ok(());
    }
    let detail = format!("a {what} of {wanted:?} is longer than {longest:?}");
    Err(BackendError::new(Fault::Rejected, SQL, operation, detail))
}

#[async_trait]
impl Queue for SqlQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    async fn ensure(&self, _lane: &Lane) -> Result<(), BackendError> {
        // A lane is a value in a column: it exists as soon as something is sent to it.
        Ok(())
    }

    async fn send(&self, lane: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        let checked: Vec<_> = messages.iter().map(|it| self.check_message(it)).collect();
        let now = now_micros();
        let mut rows = JsonArray::new();
        for (message, _) in messages.iter().zip(&checked).filter(|(_, check)| check.is_ok()) {
            let Message { ticket, trace, delay } = message;
            let state = if delay.is_zero() { READY } else { DELAYED };
            rows.push_row(&(lane.as_str(), ticket, state, after(now, *delay), trace));
        }
        if checked.iter().all(Result::is_err) {
            return checked;
        }
        let lane = lane.as_str().to_owned();
        let sent: Result<(), BackendError> =
            self.ask(|answer| Operation::Send { lane, rows: rows.finish_elements(), answer }).await;
        let answer = |check: Result<(), BackendError>| {
            check.and_then(|()| sent.as_ref().map_err(again).copied())
        };
        checked.into_iter().map(answer).collect()
    }

    async fn lease(
        &self,
        lane: &Lane,
        count: u16,
        ttl: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        self.check_lease(ttl)?;
        if count == 0 {
            return Ok(vec![]);
        }
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let name = lane.as_str().to_owned();
        let claimed: Vec<Claimed> = self
            .ask(|answer| Operation::Lease(Lease { lane: name, count, ttl, deadline, answer }))
            .await?;
        claimed.into_iter().map(|claimed| delivery(lane, claimed)).collect()
    }

    async fn extend(&self, receipt: &Receipt, ttl: Duration) -> Result<(), SettleError> {
        self.check_lease(ttl)?;
        let hold = hold_of(receipt)?;
        self.ask(|answer| Operation::Extend { hold, ttl, answer }).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), SettleError> {
        let hold = hold_of(receipt)?;
        self.ask(|answer| Operation::Ack { hold, answer }).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), SettleError> {
        self.check_delay("release a message", delay)?;
        let hold = hold_of(receipt)?;
        let lane = receipt.lane.as_str().to_owned();
        self.ask(|answer| Operation::Release { lane, hold, delay, answer }).await
    }

    async fn stats(&self, lane: &Lane) -> Result<QueueStats, BackendError> {
        let lane = lane.as_str().to_owned();
        self.ask(|answer| Operation::Stats { lane, answer }).await
    }
}

fn delivery(lane: &Lane, claimed: Claimed) -> Result<Delivery, BackendError> {
    let Claimed { hold, ticket, attempts, trace } = claimed;
    let ticket = TicketId::parse(&ticket).map_err(|error| {
        let detail = "a ticket's id cannot be read";
        BackendError::new(Fault::Corrupt, SQL, "lease a message", detail).because(error)
    })?;
    let handle = format!("{}.{:016x}", hold.id, hold.token);
    let receipt = Receipt { lane: lane.clone(), handle };
    Ok(Delivery { ticket, trace, attempt: u32::try_from(attempts).unwrap_or(u32::MAX), receipt })
}

fn hold_of(receipt: &Receipt) -> Result<Hold, SettleError> {
    let parse = || {
        let (id, token) = receipt.handle.split_once('.')?;
        let token = u64::from_str_radix(token, 16).ok()?;
        Some(Hold { id: id.parse().ok()?, token: token.cast_signed() })
    };
    parse().ok_or(SettleError::Lost)
}
