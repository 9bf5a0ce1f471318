//! The cases of a contract: each with a name, whether it applies, and whether it may run beside a
//! deployment in use.

use crate::subject::Subject;
use futures::future::LocalBoxFuture;
use std::future::Future;

type Run<T> = Box<dyn Fn(Subject<T>) -> LocalBoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// A case of a contract.
pub struct Case<T: ?Sized> {
    name: &'static str,
    applies: bool,
    safe: Option<&'static str>,
    run: Run<T>,
}

impl<T: ?Sized> Case<T> {
    /// Its topic and name, as in `leases::delivered_again_when_it_is_released`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the store claims what it is about, and the test offers what it needs.
    pub fn applies(&self) -> bool {
        self.applies
    }

    /// Why it may run on a store that a deployment uses, in a namespace of its own, if it may.
    pub fn safe(&self) -> Option<&'static str> {
        self.safe
    }

    /// Runs it on a store that holds nothing of others that it could see.
    pub async fn run(&self, subject: Subject<T>) -> anyhow::Result<()> {
        (self.run)(subject).await
    }
}

/// Collects the cases of one contract.
pub(crate) struct Suite<T: ?Sized> {
    cases: Vec<Case<T>>,
}

impl<T: ?Sized + Send + Sync + 'static> Suite<T> {
    pub(crate) fn new() -> Self {
        Self { cases: vec![] }
    }

    /// Adds a case; where it does not `apply`, it is shown as ignored. `safe` says why it may run
    /// beside a deployment in use, if it may.
    pub(crate) fn case<F, Fut>(
        &mut self,
        name: &'static str,
        applies: bool,
        safe: Option<&'static str>,
        case: F,
    ) where
        F: Fn(Subject<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + 'static,
    {
        let run: Run<T> = Box::new(move |subject| Box::pin(case(subject)));
        self.cases.push(Case { name, applies, safe, run });
    }

    pub(crate) fn finish(self) -> Vec<Case<T>> {
        self.cases
    }
}

/// Adds cases by the names of their functions, after a topic; `if` says when they apply, `safe`
/// why they may run beside a deployment in use.
macro_rules! cases {
    ($suite:expr, $topic:literal, safe $why:expr, if $applies:expr, [$($case:ident),+ $(,)?]) => {
        $($suite.case(
            concat!($topic, "::", stringify!($case)), $applies, Some($why), $case,
        );)+
    };
    ($suite:expr, $topic:literal, safe $why:expr, [$($case:ident),+ $(,)?]) => {
        cases!($suite, $topic, safe $why, if true, [$($case),+])
    };
    ($suite:expr, $topic:literal, if $applies:expr, [$($case:ident),+ $(,)?]) => {
        $($suite.case(concat!($topic, "::", stringify!($case)), $applies, None, $case);)+
    };
    ($suite:expr, $topic:literal, [$($case:ident),+ $(,)?]) => {
        cases!($suite, $topic, if true, [$($case),+])
    };
}
pub(crate) use cases;
