//! Turns cases into trials of the test harness: each with a runtime and a store of its own.

use crate::subject::Subject;
use crate::suite::Case;
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

/// What makes the stores of an adapter's cases.
pub(crate) struct Stores<T: ?Sized> {
    factory: Factory<T>,
}

impl<T: ?Sized + Send + Sync + 'static> Stores<T> {
    pub(crate) fn made_by<F, Fut>(factory: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Subject<T>>> + Send + 'static,
    {
        Self { factory: Arc::new(move || Box::pin(factory())) }
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

    /// A trial for each case.
    pub(crate) fn trials(self, adapter: &str, contract: &str, cases: Vec<Case<T>>) -> Vec<Trial> {
        let trial = |case: Case<T>| {
            let factory = self.factory.clone();
            let name = format!("{adapter}::{contract}::{}", case.name());
            let applies = case.applies();
            let run = move || run(&factory, &case);
            Trial::test(name, run).with_ignored_flag(!applies)
        };
        cases.into_iter().map(trial).collect()
    }
}

fn run<T: ?Sized + Send + Sync + 'static>(
    factory: &Factory<T>,
    case: &Case<T>,
) -> Result<(), Failed> {
    let stops = case.name().starts_with("restarts::") || case.name().starts_with("wiping::");
    let outcome = runtime().and_then(|runtime| {
        let subject = STOPS_ITS_STORE.scope(stops, async { factory().await });
        runtime.block_on(async { case.run(subject.await?).await })
    });
    outcome.map_err(|error| Failed::from(format!("{error:?}")))
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
