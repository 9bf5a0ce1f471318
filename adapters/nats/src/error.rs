//! Why the queue at an address cannot be used, and what to change.

use printmill_backend::{BackendError, Fault};
use std::error::Error;

/// The adapter's name in messages.
pub(crate) const NATS: &str = "nats";

/// Why a queue cannot be opened. No message holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsError {
    /// The address is none.
    #[error("the address cannot be read: {0}")]
    Address(&'static str),
    /// An option has a value that it cannot have.
    #[error("the option '{0}' must be {1}")]
    Option(&'static str, &'static str),
    /// There is no such option.
    #[error(
        "there is no option '{0}'; there are stream, replicas, domain, creds, nkey, ca, cert, key"
    )]
    UnknownOption(String),
    /// A file cannot be read.
    #[error("the file of '{option}' cannot be read: {path}: {reason}")]
    File {
        /// Which option.
        option: &'static str,
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The server refuses who connects.
    #[error(
        "{0} refuses the credentials: set user:password@, token@, creds=FILE or nkey=FILE in the \
         address to those of a user of the account with JetStream"
    )]
    Unauthorised(String),
    /// TLS failed.
    #[error(
        "the TLS connection to {0} failed: set ca=FILE to the certificate that signed the \
         server's, use the host name that is in it, and set cert=FILE and key=FILE if the server \
         asks for a certificate; a server without TLS is nats://, without ca, cert and key"
    )]
    Tls(String),
    /// The server is too old.
    #[error("the server {server} is NATS {version}, but 2.9 or later is needed: upgrade it")]
    TooOld {
        /// Which server.
        server: String,
        /// What it says it is.
        version: String,
    },
    /// The server or account has no JetStream.
    #[error(
        "{0} offers no JetStream to this account: start the server with -js or a 'jetstream' \
         block, and enable it for the account; with leaf nodes, set domain=NAME"
    )]
    NoJetStream(String),
    /// There is a stream of that name which is another one.
    #[error(
        "the stream '{name}' {what}, so it is not Printmill's queue: set stream=NAME to a name \
         that is free, or remove that stream"
    )]
    OtherStream {
        /// The stream's name.
        name: String,
        /// How it differs.
        what: String,
    },
    /// The stream cannot be made.
    #[error("the stream '{name}' cannot be made: {why}")]
    NoStream {
        /// The stream's name.
        name: String,
        /// What the server says, and what to change.
        why: String,
    },
}

impl From<NatsError> for BackendError {
    fn from(error: NatsError) -> Self {
        BackendError::new(Fault::Rejected, NATS, "open the queue", error.to_string())
    }
}

/// The server did not answer, or not as hoped; trying again can help.
pub(crate) fn unavailable(
    operation: &'static str,
    detail: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> BackendError {
    let error = BackendError::new(Fault::Unavailable, NATS, operation, detail);
    BackendError { source: Some(source.into()), ..error }
}

/// The server does not keep a request, and never will.
pub(crate) fn rejected(operation: &'static str, detail: String) -> BackendError {
    BackendError::new(Fault::Rejected, NATS, operation, detail)
}
