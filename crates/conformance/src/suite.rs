//! Turns cases into trials: each with a name, a runtime and a store of its own.

use crate::subject::Subject;
use futures::future::BoxFuture;
use libtest_mimic::{Failed, Trial};
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

type Factory<T> = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<Subject<T>>> + Send + Sync>;

tokio::task_local! {
    static STOPS_ITS_STORE: bool;
}

/// Whether the case that a store is made for stops, starts or loses it. Where servers are slow to
/// start, only such a case needs one of its own; others are content with names of their own.
pub fn stops_its_store() -> bool {
    STOPS_ITS_STORE.try_with(|stops| *stops).unwrap_or(false)
}

/// Collects the cases of one contract for one adapter.
pub(crate) struct Suite<T: ?Sized> {
    prefix: String,
    factory: Factory<T>,
    trials: Vec<Trial>,
}

impl<T: ?Sized + Send + Sync + 'static> Suite<T> {
    pub(crate) fn new<F, Fut>(adapter: &str, contract: &str, factory: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Subject<T>>> + Send + 'static,
    {
        let factory: Factory<T> = Arc::new(move || Box::pin(factory()));
        Self { prefix: format!("{adapter}::{contract}"), factory, trials: vec![] }
    }

    /// Looks at a store, to know which cases it claims to keep. When it cannot be made, the
    /// answer is `unknown`, and every case will say why.
    pub(crate) fn probe<R>(&self, unknown: R, look: impl FnOnce(&Subject<T>, &T) -> R) -> R {
        let look = || {
            let runtime = runtime()?;
            let subject = runtime.block_on((self.factory)())?;
            let handle = subject.handle()?;
            let _within = runtime.enter();
            anyhow::Ok(look(&subject, &handle))
        };
        look().unwrap_or(unknown)
    }

    /// Adds a case; where it does not `apply`, it is shown as ignored.
    pub(crate) fn case<F, Fut>(&mut self, name: &str, applies: bool, case: F)
    where
        F: Fn(Subject<T>) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>>,
    {
        let factory = self.factory.clone();
        let stops = name.starts_with("restarts::") || name.starts_with("wiping::");
        let run = move || {
            let outcome = runtime().and_then(|runtime| {
                let subject = STOPS_ITS_STORE.scope(stops, async { factory().await });
                runtime.block_on(async { case(subject.await?).await })
            });
            outcome.map_err(|error| Failed::from(format!("{error:?}")))
        };
        let name = format!("{}::{name}", self.prefix);
        self.trials.push(Trial::test(name, run).with_ignored_flag(!applies));
    }

    pub(crate) fn finish(self) -> Vec<Trial> {
        self.trials
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Adds cases by the names of their functions, after a topic; `if` says when they apply.
macro_rules! cases {
    ($suite:expr, $topic:literal, if $applies:expr, [$($case:ident),+ $(,)?]) => {
        $($suite.case(concat!($topic, "::", stringify!($case)), $applies, $case);)+
    };
    ($suite:expr, $topic:literal, [$($case:ident),+ $(,)?]) => {
        cases!($suite, $topic, if true, [$($case),+])
    };
}
pub(crate) use cases;
