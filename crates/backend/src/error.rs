//! What can go wrong with a backend, and whether trying again helps.

use printmill_domain::problem::{Code, Problem};

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It does not answer, or is busy. Try again.
    Unavailable,
    /// There is no space left.
    Full,
    /// It cannot be written to.
    ReadOnly,
    /// It is not there.
    NotFound,
    /// The stored bytes are not those that were put there.
    Corrupt,
    /// The backend refuses the request as such: too large, too long, not supported.
    Rejected,
    /// Anything else.
    Other,
}

/// A failure of a backend: which one, doing what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{backend} failed to {operation}: {detail}")]
pub struct BackendError {
    /// What kind of failure it is.
    pub fault: Fault,
    /// Which backend: `sqlite`, `disk`.
    pub backend: &'static str,
    /// What it was asked to do, as a verb and its object: `commit a change`.
    pub operation: &'static str,
    /// What happened, without what `source` says.
    pub detail: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// A failure without a cause of its own.
    pub fn new(
        fault: Fault,
        backend: &'static str,
        operation: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { fault, backend, operation, detail: detail.into(), source: None }
    }

    /// The same failure, with its cause.
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The error and all its causes in one line, for logs.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Whether the same call can succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self.fault, Fault::Unavailable | Fault::Full | Fault::ReadOnly)
    }
}

/// How a backend's failure reaches the user: without the backend's internals.
impl From<&BackendError> for Problem {
    fn from(error: &BackendError) -> Problem {
        match error.fault {
            Fault::Unavailable => Problem::new(
                Code::Unavailable,
                "a part of the system does not answer just now",
                "try again in a moment with the same request id",
            ),
            Fault::Full => Problem::new(
                Code::StorageFull,
                "there is no space left to store that",
                "free space in the data directory or bucket, then try again; nothing was changed",
            ),
            Fault::ReadOnly => Problem::new(
                Code::StorageReadOnly,
                "the storage cannot be written to",
                "make the data directory writable for the node's user, then try again",
            ),
            Fault::NotFound => Problem::new(
                Code::NotFound,
                "the stored file is not there",
                "upload the file again",
            ),
            Fault::Corrupt | Fault::Rejected | Fault::Other => Problem::new(
                Code::Internal,
                "something went wrong inside",
                "try again; if it stays, give the operator the time and this code",
            ),
        }
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Problem {
        Problem::from(&error)
    }
}
