//! A handler whose steps are given by the test.

use async_trait::async_trait;
use futures::future::BoxFuture;
use printmill_backend::Change;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::ids::{Id, MerchantId, derive};
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::RetryPolicy;
use printmill_domain::ticket::Ticket;
use printmill_engine::handler::{Failure, Handler, Handlers, Work};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The kind of ticket that tests work on.
pub(crate) const KIND: &str = "test.job";

type Perform = dyn Fn(Work) -> BoxFuture<'static, Result<Value, Failure>> + Send + Sync;
type Decide = dyn Fn(Work, Timestamp) -> BoxFuture<'static, Result<Change, Failure>> + Send + Sync;
type GiveUp = dyn Fn(&Work, &Problem, Timestamp) -> Result<Change, Problem> + Send + Sync;

/// Counts what it is asked for, and does what the test says.
#[derive(Clone)]
pub(crate) struct Job {
    counts: Arc<Counts>,
    perform: Arc<Perform>,
    decide: Arc<Decide>,
    give_up: Arc<GiveUp>,
    retry: RetryPolicy,
}

#[derive(Default)]
pub(crate) struct Counts {
    performed: AtomicU32,
    decided: AtomicU32,
}

impl Counts {
    pub(crate) fn performed(&self) -> u32 {
        self.performed.load(Ordering::SeqCst)
    }

    pub(crate) fn decided(&self) -> u32 {
        self.decided.load(Ordering::SeqCst)
    }
}

impl Job {
    /// A job that takes no time, and whose effect is a record.
    pub(crate) fn quick() -> Self {
        Self {
            counts: Arc::default(),
            perform: Arc::new(|_| Box::pin(async { Ok(json!("performed")) })),
            decide: Arc::new(|work, now| Box::pin(async move { Ok(effect(&work.ticket, now)) })),
            give_up: Arc::new(|work, _, now| Ok(notice(&work.ticket, now))),
            retry: RetryPolicy::default(),
        }
    }

    pub(crate) fn performing<F>(self, perform: impl Fn(Work) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        Self { perform: Arc::new(move |work| Box::pin(perform(work))), ..self }
    }

    pub(crate) fn deciding<F>(
        self,
        decide: impl Fn(Work, Timestamp) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Change, Failure>> + Send + 'static,
    {
        Self { decide: Arc::new(move |work, now| Box::pin(decide(work, now))), ..self }
    }

    pub(crate) fn giving_up(
        self,
        give_up: impl Fn(&Work, &Problem, Timestamp) -> Result<Change, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self { give_up: Arc::new(give_up), ..self }
    }

    pub(crate) fn retrying(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    pub(crate) fn handlers(self) -> Handlers {
        Handlers::default().with(self)
    }
}

#[async_trait]
impl Handler for Job {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn perform(&self, work: &Work) -> Result<Value, Failure> {
        self.counts.performed.fetch_add(1, Ordering::SeqCst);
        (self.perform)(work.clone()).await
    }

    async fn decide(&self, work: &Work, value: &Value, now: Timestamp) -> Result<Change, Failure> {
        assert_eq!(value, "performed", "what was performed is what is decided on");
        self.counts.decided.fetch_add(1, Ordering::SeqCst);
        (self.decide)(work.clone(), now).await
    }

    async fn give_up(
        &self,
        work: &Work,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<Change, Problem> {
        (self.give_up)(work, problem, now)
    }

    fn retry(&self) -> RetryPolicy {
        self.retry
    }
}

/// A record that stands for a ticket's effect. Each attempt would make another.
pub(crate) fn effect(ticket: &Ticket, now: Timestamp) -> Change {
    record(ticket, &format!("effect of attempt {}", ticket.attempt), now)
}

/// A record that stands for what people see when a ticket is given up.
pub(crate) fn notice(ticket: &Ticket, now: Timestamp) -> Change {
    record(ticket, "given up", now)
}

fn record(ticket: &Ticket, name: &str, now: Timestamp) -> Change {
    let id: MerchantId = derive(ticket.id.uuid(), name, 0);
    let made = Merchant { id, name: name.into(), created_at: now };
    Change::new(ticket.merchant, now).create(Decided::quiet(made))
}

/// A failure that may pass.
pub(crate) fn passing() -> Failure {
    Failure::passing(Problem::new(Code::Internal, "not now", "wait"))
}

/// A failure that stays.
pub(crate) fn hopeless() -> Failure {
    Failure::hopeless(Problem::new(Code::RenderFailed, "never", "look at it"))
}
