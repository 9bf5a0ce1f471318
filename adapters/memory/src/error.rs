//! Why an address is not one of this adapter.

/// An address that this adapter does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It names another adapter.
    #[error("'{url}' is not in memory: the address is memory://")]
    Scheme {
        /// What was given.
        url: String,
    },
    /// It says more than there is to say.
    #[error("'{url}' has options, but memory:// has none")]
    Options {
        /// What was given.
        url: String,
    },
}
