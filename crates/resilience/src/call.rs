//! A call to a backend: what it is called, how it begins, and how it fails.

use object_store::Error as StoreError;
use printmill_backend::blobs::fault_of;
use printmill_backend::queue::SettleError;
use printmill_backend::{BackendError, CommitError, Fault};

/// One of the things that a backend is asked to do.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its place among the operations of its backend, from 0.
    pub(crate) index: usize,
    /// Its name in metrics.
    pub(crate) name: &'static str,
    /// What it is in a sentence: a verb and its object.
    pub(crate) doing: &'static str,
}

impl Operation {
    /// An operation; no two of a backend have the same index.
    pub(crate) const fn new(index: usize, name: &'static str, doing: &'static str) -> Self {
        assert!(index < Self::MAX);
        Self { index, name, doing }
    }

    /// The most operations of a backend.
    pub(crate) const MAX: usize = 24;
}

/// How a backend's calls fail.
pub(crate) trait Failing {
    /// A failure of this layer.
    fn of(error: BackendError) -> Self;

    /// What kind of failure of the backend it is; nothing for an answer of another kind.
    fn fault(&self) -> Option<Fault>;

    /// What happened, in a few words.
    fn detail(&self) -> String;

    /// Whether the backend did not answer.
    fn unanswered(&self) -> bool {
        self.fault() == Some(Fault::Unavailable)
    }
}

impl Failing for BackendError {
    fn of(error: BackendError) -> Self {
        error
    }

    fn fault(&self) -> Option<Fault> {
        Some(self.fault)
    }

    fn detail(&self) -> String {
        self.detail.clone()
    }
}

impl Failing for CommitError {
    fn of(error: BackendError) -> Self {
        error.into()
    }

    fn fault(&self) -> Option<Fault> {
        match self {
            CommitError::Backend(error) => Some(error.fault),
            CommitError::Stale { .. }
            | CommitError::FenceLost { .. }
            | CommitError::Answered(_) => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            CommitError::Backend(error) => error.detail.clone(),
            other => other.to_string(),
        }
    }
}

impl Failing for SettleError {
    fn of(error: BackendError) -> Self {
        error.into()
    }

    fn fault(&self) -> Option<Fault> {
        match self {
            SettleError::Backend(error) => Some(error.fault),
            SettleError::Lost => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            SettleError::Backend(error) => error.detail.clone(),
            SettleError::Lost => self.to_string(),
        }
    }
}

impl Failing for StoreError {
    fn of(error: BackendError) -> Self {
        StoreError::Generic { store: error.backend, source: error.into() }
    }

    fn fault(&self) -> Option<Fault> {
        Some(fault_of(self))
    }

    fn detail(&self) -> String {
        self.to_string()
    }
}

/// What can be begun, and perhaps begun again.
pub(crate) trait Attempt: Sized {
    /// What it answers.
    type Answer;
    /// How it fails.
    type Error: Failing;
    /// The attempt under way.
    type Future: Future<Output = Result<Self::Answer, Self::Error>>;

    /// Begins.
    fn begin(self) -> Self::Future;

    /// The same once more, where a repeat does no harm.
    fn again(&self) -> Option<Self>;
}

/// A call that is never repeated.
pub(crate) struct Once<F>(pub(crate) F);

impl<F, Fut, T, E> Attempt for Once<F>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Failing,
{
    type Answer = T;
    type Error = E;
    type Future = Fut;

    fn begin(self) -> Fut {
        (self.0)()
    }

    fn again(&self) -> Option<Self> {
        None
    }
}

/// A call that may be repeated: done twice, it is as if it were done once. What it needs is
/// borrowed, so that repeating it copies nothing.
pub(crate) struct Repeatable<F>(pub(crate) F);

impl<F, Fut, T, E> Attempt for Repeatable<F>
where
    F: Fn() -> Fut + Copy,
    Fut: Future<Output = Result<T, E>>,
    E: Failing,
{
    type Answer = T;
    type Error = E;
    type Future = Fut;

    fn begin(self) -> Fut {
        (self.0)()
    }

    fn again(&self) -> Option<Self> {
        Some(Self(self.0))
    }
}
