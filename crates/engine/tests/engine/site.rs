//! A small site: a database, a queue, a clock that follows tokio's paused time, and the services
//! between them.

use printmill_adapter_memory::{MemoryDatabase, MemoryQueue};
use printmill_backend::change::{Change, TicketGuard, TicketWrite};
use printmill_backend::database::{Page, Scope};
use printmill_backend::{BackendError, Clock, Database, DatabaseExt, Queue};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Versioned;
use printmill_domain::ids::{Id, MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::Problem;
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_engine::LEASE;
use printmill_engine::handler::Handlers;
use printmill_engine::lease::{Leased, Leases};
use printmill_engine::metrics::Metrics;
use printmill_engine::reconciler::Reconciler;
use printmill_engine::relay::Relay;
use printmill_engine::worker::{ServedLane, Worker, WorkerOptions};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A clock that stands as long as tokio's does.
pub(crate) struct PausedClock {
    base: Timestamp,
    started: Instant,
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let elapsed = chrono::TimeDelta::from_std(self.started.elapsed()).expect("a short test");
        let now = self.base + elapsed;
        Timestamp::from_timestamp_micros(now.timestamp_micros()).expect("near enough")
    }
}

pub(crate) struct Site {
    pub(crate) database: Arc<MemoryDatabase>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) metrics: Metrics,
}

/// A service that runs until it is told to stop.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        service: impl FnOnce(tokio_util::sync::WaitForCancellationFutureOwned) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(service(stop.clone().cancelled_owned())), stop }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it ends without a panic");
    }

    /// It is gone from one moment to the next.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it ran").is_cancelled());
    }
}

pub(crate) fn merchant() -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(7))
}

/// Another merchant.
pub(crate) fn stranger() -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(8))
}

/// The lane that tests work in.
pub(crate) fn lane() -> Lane {
    Lane::express()
}

/// Takes on what comes to the lane that tests work in.
pub(crate) async fn take(
    leases: &Leases,
    count: u16,
    wait: Duration,
    holder: &str,
) -> Result<Vec<Leased>, BackendError> {
    let delivered = leases.deliveries(&lane(), count, wait).await?;
    leases.take_on(delivered, holder).await
}

/// The id of a test's ticket.
pub(crate) fn ticket_id(number: u64) -> TicketId {
    TicketId::from_uuid(Uuid::from_u128(u128::from(number) + (1 << 90)))
}

impl Site {
    pub(crate) fn new() -> Self {
        let base = Timestamp::from_timestamp(1_767_268_800, 0).expect("a time");
        Self {
            database: Arc::new(MemoryDatabase::new()),
            queue: Arc::new(MemoryQueue::new()),
            clock: Arc::new(PausedClock { base, started: Instant::now() }),
            metrics: Metrics::register(&prometheus::Registry::new()).expect("fresh names"),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn leases(&self) -> Leases {
        self.leases_through(self.database.clone())
    }

    pub(crate) fn leases_through(&self, database: Arc<dyn Database>) -> Leases {
        Leases::new(database, self.queue.clone(), self.clock.clone(), LEASE)
    }

    pub(crate) fn relay(&self) -> Relay {
        self.relay_through(self.database.clone())
    }

    pub(crate) fn relay_through(&self, database: Arc<dyn Database>) -> Relay {
        Relay::new(database, self.queue.clone(), self.clock.clone(), self.metrics.clone())
    }

    pub(crate) fn reconciler(&self) -> Reconciler {
        let (database, queue) = (self.database.clone(), self.queue.clone());
        Reconciler::new(database, queue, self.clock.clone(), self.metrics.clone())
    }

    pub(crate) fn start_relay(&self) -> Running {
        let relay = self.relay();
        Running::start(|stop| relay.run(stop))
    }

    /// A worker with two slots, which has 30 seconds to leave.
    pub(crate) fn start_worker(&self, holder: &str, handlers: Handlers) -> Running {
        self.start_worker_through(self.database.clone(), holder, handlers)
    }

    pub(crate) fn start_worker_through(
        &self,
        database: Arc<dyn Database>,
        holder: &str,
        handlers: Handlers,
    ) -> Running {
        let options = WorkerOptions {
            holder: holder.into(),
            lanes: vec![ServedLane { lane: lane(), concurrency: 2 }],
            drain: Duration::from_secs(30),
        };
        let leases = self.leases_through(database);
        let worker = Worker::new(leases, handlers, self.metrics.clone(), options);
        Running::start(|stop| worker.run(stop))
    }

    /// Commits a new ticket of a kind.
    pub(crate) async fn make(&self, number: u64, kind: &str) -> TicketId {
        let (id, now) = (ticket_id(number), self.now());
        let payload = serde_json::json!({ "number": number });
        let ticket = Ticket::new(id, merchant(), lane(), kind, payload, now);
        let mut change = Change::new(merchant(), now);
        change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
        self.database.commit(change).await.expect("a new ticket");
        id
    }

    pub(crate) async fn ticket(&self, id: TicketId) -> Ticket {
        let found = self.database.tickets(&[id]).await.expect("memory");
        found.into_iter().next().expect("it was made")
    }

    /// Waits, commit by commit, until a ticket is as wanted.
    pub(crate) async fn until(&self, id: TicketId, wanted: impl Fn(&Ticket) -> bool) -> Ticket {
        let mut commits = self.database.commits();
        let waiting = async {
            loop {
                commits.borrow_and_update();
                let ticket = self.ticket(id).await;
                if wanted(&ticket) {
                    return ticket;
                }
                commits.changed().await.expect("the database is there");
            }
        };
        let hour = Duration::from_secs(3_600);
        match tokio::time::timeout(hour, waiting).await {
            Ok(ticket) => ticket,
            Err(_) => panic!("not within an hour of test time: {:?}", self.ticket(id).await),
        }
    }

    pub(crate) async fn until_state(&self, id: TicketId, state: TicketState) -> Ticket {
        self.until(id, |ticket| ticket.state == state).await
    }

    /// Leases what the queue has by now, without waiting.
    pub(crate) async fn lease_now(&self, holder: &str) -> Vec<Leased> {
        take(&self.leases(), 10, Duration::ZERO, holder).await.expect("memory")
    }

    /// Ends an attempt that failed, by a policy.
    pub(crate) async fn fail(
        &self,
        held: &Leased,
        problem: Problem,
        policy: &RetryPolicy,
    ) -> Ticket {
        let Leased { ticket, fence, receipt } = held;
        let leases = self.leases();
        let next = leases.after_failure(ticket, fence, problem, false, policy).expect("it is held");
        let change = Change::new(ticket.merchant, self.now()).ticket(next.clone(), ticket.version);
        leases.settle(change, receipt).await.expect("it is held");
        next
    }

    /// Everything that handlers committed.
    pub(crate) async fn effects(&self) -> Vec<Versioned<Merchant>> {
        let scope = Scope::Merchant(MerchantId::PLATFORM);
        let page = Page { before: None, limit: 1_000, state: None };
        self.database.page(scope, page).await.expect("memory")
    }

    /// How many messages the queue holds.
    pub(crate) async fn held(&self) -> u64 {
        self.queue.stats(&lane()).await.expect("memory").total()
    }
}

/// Lets test time go by, with everything that happens in it.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
