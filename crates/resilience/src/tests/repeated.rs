//! The database and the gateway: what is repeated, in paused time.

use super::scripted::{AWAY, Act, Script, away};
use super::seams::{LIMITS, resilience};
use async_trait::async_trait;
use printmill_adapter_memory::MemoryDatabase;
use printmill_backend::database::{
    Alike, DatabaseCaps, EventQuery, OldestReady, Page, Prunable, Scope, StageCount, TicketQuery,
};
use printmill_backend::payment_gateway::Charge;
use printmill_backend::{
    BackendError, Change, CommitError, Database, Fault, PaymentGateway, Record, RequestRecord,
};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::money::{Currency, Money};
use printmill_domain::payment::ChargeOutcome;
use printmill_domain::ticket::Ticket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// A database that never answers as it should, and counts how often it was asked.
struct Away {
    inner: MemoryDatabase,
    asked: AtomicUsize,
}

impl Away {
    fn guarded() -> (Arc<Self>, Arc<dyn Database>) {
        let away = Arc::new(Self { inner: MemoryDatabase::new(), asked: AtomicUsize::new(0) });
        (away.clone(), resilience().1.database(away, LIMITS))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn away<T>(&self) -> Result<T, BackendError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(away(Fault::Unavailable))
    }
}

type Answer<T> = Result<T, BackendError>;

#[async_trait]
impl Database for Away {
    fn caps(&self) -> &DatabaseCaps {
        self.inner.caps()
    }

    async fn commit(&self, _: Change) -> Result<(), CommitError> {
        Ok(self.away()?)
    }

    async fn get(&self, _: Scope, _: Kind, _: &str) -> Answer<Option<Record>> {
        self.away()
    }

    async fn get_many(&self, _: Scope, _: Kind, _: &[String]) -> Answer<Vec<Record>> {
        self.away()
    }

    async fn list(&self, _: Scope, _: Kind, _: Page) -> Answer<Vec<Record>> {
        self.away()
    }

    async fn request(&self, _: MerchantId, _: &str) -> Answer<Option<RequestRecord>> {
        self.away()
    }

    async fn tickets(&self, _: &[TicketId]) -> Answer<Vec<Ticket>> {
        self.away()
    }

    async fn find_tickets(&self, _: TicketQuery, _: u32) -> Answer<Vec<Ticket>> {
        self.away()
    }

    async fn next_tickets(&self, _: &[Alike], _: u32) -> Answer<Vec<Ticket>> {
        self.away()
    }

    async fn ticket_counts(&self) -> Answer<Vec<StageCount>> {
        self.away()
    }

    async fn oldest_ready(&self) -> Answer<Vec<OldestReady>> {
        self.away()
    }

    async fn sequence(&self, _: u32) -> Answer<u32> {
        self.away()
    }

    async fn prune(&self, _: Prunable, _: Timestamp, _: u32) -> Answer<u32> {
        self.away()
    }

    async fn events(&self, _: EventQuery) -> Answer<Vec<Event>> {
        self.away()
    }

    async fn head(&self) -> Answer<u64> {
        self.away()
    }

    async fn oldest(&self) -> Answer<u64> {
        self.away()
    }

    async fn seq_at(&self, _: Timestamp) -> Answer<u64> {
        self.away()
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.inner.commits()
    }
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated() {
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let (away, database) = Away::guarded();
    database.get(scope, Kind::Order, "x").await.unwrap_err();
    assert_eq!(away.asked(), 3);
    let (away, database) = Away::guarded();
    let page = Page { before: None, limit: 1, state: None };
    database.list(scope, Kind::Order, page).await.unwrap_err();
    assert_eq!(away.asked(), 3);
    let (away, database) = Away::guarded();
    database.events(EventQuery::default()).await.unwrap_err();
    assert_eq!(away.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_outcome_is_unknown_is_not_repeated() {
    let (away, database) = Away::guarded();
    let change = Change::new(MerchantId::PLATFORM, Timestamp::default());
    match database.commit(change).await {
        Err(CommitError::Backend(error)) => assert!(error.retryable(), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(away.asked(), 1);
    database.sequence(1).await.unwrap_err();
    assert_eq!(away.asked(), 2);
    let before = Timestamp::default();
    database.prune(Prunable::Requests, before, 1).await.unwrap_err();
    assert_eq!(away.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn wake_ups_pass_through() {
    let memory = Arc::new(MemoryDatabase::new());
    let database = resilience().1.database(memory.clone(), LIMITS);
    let mut commits = database.commits();
    commits.mark_unchanged();
    let change = Change::new(MerchantId::PLATFORM, Timestamp::default());
    let request = RequestRecord {
        id: "r".into(),
        fingerprint: "f".into(),
        outcome: "o".into(),
        at: Timestamp::default(),
    };
    memory.commit(change.answering(Some(request))).await.unwrap();
    assert!(commits.has_changed().unwrap());
}

/// A gateway that answers the third time that it is asked.
struct Gateway(Script);

#[async_trait]
impl PaymentGateway for Gateway {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn charge(&self, _: &Charge) -> Answer<ChargeOutcome> {
        self.0.ask().await?;
        Ok(ChargeOutcome::Paid { reference: "r".into() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_repeated_by_its_payment() {
    let gateway = Arc::new(Gateway(Script::new([AWAY, AWAY], Act::Answer)));
    let payments = resilience().1.payments(gateway.clone(), LIMITS);
    let charge = Charge {
        payment: printmill_backend::fresh::id(Timestamp::default()),
        merchant: MerchantId::PLATFORM,
        method: "card".into(),
        amount: Money { currency: Currency::Eur, minor: 1 },
    };
    payments.charge(&charge).await.unwrap();
    assert_eq!(gateway.0.begun(), 3);
}
