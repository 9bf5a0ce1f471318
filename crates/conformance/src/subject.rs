//! What a case is given: a store of its own, and ways to open, reopen and lose it.

use anyhow::Context;
use futures::future::BoxFuture;
use printmill_backend::{Blobs, Database, PaymentGateway, Queue};
use std::any::Any;
use std::future::Future;
use std::sync::Arc;

type Opener<T> = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<Arc<T>>> + Send + Sync>;

/// Makes a store fail for a while: told `true`, it answers nothing but errors, told `false`, it works
/// again. Either cuts what is under way.
pub(crate) type Disturb = Arc<dyn Fn(bool) + Send + Sync>;
type Restarter = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// One isolated store under test, and the first handle to it.
pub struct Subject<T: ?Sized> {
    handle: Option<Arc<T>>,
    open: Option<Opener<T>>,
    wipe: Option<Opener<T>>,
    disturb: Option<Disturb>,
    signatures_unchecked: bool,
    volume_max: usize,
    restart: Option<Restarter>,
    guards: Vec<Box<dyn Any + Send>>,
}

impl<T: ?Sized + Send + Sync + 'static> Subject<T> {
    /// A store that this handle leads to.
    pub fn of(handle: Arc<T>) -> Self {
        let handle = Some(handle);
        Self {
            handle,
            open: None,
            wipe: None,
            restart: None,
            disturb: None,
            signatures_unchecked: false,
            volume_max: usize::MAX,
            guards: vec![],
        }
    }

    /// Says how to open the same store again: after the first handle is gone, and beside it.
    pub fn opened_by<F, Fut>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Arc<T>>> + Send + 'static,
    {
        self.open = Some(opener(open));
        self
    }

    /// Says how to lose everything in the store, and gives a handle to what is left. Earlier
    /// handles are gone by then.
    pub fn wiped_by<F, Fut>(mut self, wipe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Arc<T>>> + Send + 'static,
    {
        self.wipe = Some(opener(wipe));
        self
    }

    /// Says how to make the store answer errors for a while (`true`), and work again (`false`).
    /// Either cuts what is under way.
    pub fn disturbed_by(mut self, disturb: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.disturb = Some(Arc::new(disturb));
        self
    }

    /// Says that the server under test, unlike real ones, takes any signature.
    pub fn with_signatures_unchecked(mut self) -> Self {
        self.signatures_unchecked = true;
        self
    }

    /// Says that the server under test, unlike real ones, is too slow for more messages at once.
    pub fn holding_at_most(mut self, messages: usize) -> Self {
        self.volume_max = messages;
        self
    }

    /// Says how to stop the store and start it again with all that it holds, under handles that
    /// stay open. It is back when this returns.
    pub fn restarted_by<F, Fut>(mut self, restart: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.restart = Some(Arc::new(move || Box::pin(restart())));
        self
    }

    /// Keeps something until the case is over: a temporary directory, a server.
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// The present handle.
    pub(crate) fn handle(&self) -> anyhow::Result<Arc<T>> {
        self.handle.clone().context("the store was closed")
    }

    /// Whether the store can be opened again.
    pub(crate) fn opens(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the store can be lost.
    pub(crate) fn wipes(&self) -> bool {
        self.wipe.is_some()
    }

    /// Whether the store can be made to fail.
    pub(crate) fn disturbs(&self) -> bool {
        self.disturb.is_some()
    }

    /// What makes the store fail (`true`), and work again (`false`).
    pub(crate) fn disturbance(&self) -> anyhow::Result<Disturb> {
        self.disturb.clone().context("the store cannot be made to fail")
    }

    /// Whether the server under test checks signatures.
    pub(crate) fn checks_signatures(&self) -> bool {
        !self.signatures_unchecked
    }

    /// How many messages a case may use that would like to use so many.
    pub(crate) fn volume(&self, wanted: usize) -> usize {
        wanted.min(self.volume_max)
    }

    /// Whether the store can be restarted.
    pub(crate) fn restarts(&self) -> bool {
        self.restart.is_some()
    }

    /// Stops the store and starts it again.
    pub(crate) async fn restart(&self) -> anyhow::Result<()> {
        let restart = self.restart.as_ref().context("the store cannot be restarted")?;
        restart().await
    }

    /// Another handle to the same store, beside the first.
    pub(crate) async fn another(&self) -> anyhow::Result<Arc<T>> {
        let open = self.open.as_ref().context("the store cannot be opened twice")?;
        open().await
    }

    /// Closes the store and opens it again. The caller has dropped its own handles.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<Arc<T>> {
        self.handle = None;
        self.handle = Some(self.another().await?);
        self.handle()
    }

    /// Loses the content of the store. The caller has dropped its own handles.
    pub(crate) async fn wipe(&mut self) -> anyhow::Result<Arc<T>> {
        let wipe = self.wipe.clone().context("the store cannot be lost")?;
        self.handle = None;
        self.handle = Some(wipe().await?);
        self.handle()
    }
}

fn opener<T, F, Fut>(open: F) -> Opener<T>
where
    T: ?Sized,
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Arc<T>>> + Send + 'static,
{
    Arc::new(move || Box::pin(open()))
}

impl Subject<dyn Database> {
    /// A database under test.
    pub fn database(database: impl Database + 'static) -> Self {
        Self::of(Arc::new(database))
    }
}

impl Subject<dyn Queue> {
    /// A queue under test.
    pub fn queue(queue: impl Queue + 'static) -> Self {
        Self::of(Arc::new(queue))
    }
}

impl Subject<Blobs> {
    /// A store of blobs under test.
    pub fn blobs(blobs: Blobs) -> Self {
        Self::of(Arc::new(blobs))
    }
}

impl Subject<dyn PaymentGateway> {
    /// A payment gateway under test.
    pub fn gateway(gateway: impl PaymentGateway + 'static) -> Self {
        Self::of(Arc::new(gateway))
    }
}
