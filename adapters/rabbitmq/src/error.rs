//! Why the queue at an address cannot be used, and what to change.

use printmill_backend::{BackendError, Fault};
use std::error::Error;

/// The adapter's name in messages.
pub(crate) const RABBITMQ: &str = "rabbitmq";

/// Why a queue cannot be opened. No message holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RabbitMqError {
    /// The address is none.
    #[error("the address cannot be read: {0}")]
    Address(&'static str),
    /// An option has a value that it cannot have.
    #[error("the option '{0}' must be {1}")]
    Option(&'static str, &'static str),
    /// There is no such option.
    #[error("there is no option '{0}'; there are prefix, consumer_timeout, ca, cert, key")]
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
        "{0} refuses the credentials: set user:password@ in the address to those of a user with \
         configure, write and read permissions for the virtual host"
    )]
    Unauthorised(String),
    /// The virtual host is not there, or not for this user.
    #[error(
        "{0} does not let this user into the virtual host '{1}': name another after the server \
         (/ is written %2F), or give the user permissions for it"
    )]
    VirtualHost(String, String),
    /// TLS failed.
    #[error(
        "the TLS connection to {0} failed: set ca=FILE to the certificate that signed the \
         server's, use the host name that is in it, and set cert=FILE and key=FILE if the server \
         asks for a certificate; a server without TLS is amqp://"
    )]
    Tls(String),
    /// The server does not know what queues must be able to do.
    #[error(
        "the server does not take the queues that Printmill needs ({0}): use RabbitMQ 3.10 or \
         later with all feature flags enabled (rabbitmqctl enable_feature_flag all)"
    )]
    TooOld(String),
    /// There is a queue or exchange of that name which is another one.
    #[error(
        "'{name}' is there as another kind of queue or exchange ({what}): set prefix=NAME to one \
         that is free, or delete it"
    )]
    OtherKind {
        /// Its name.
        name: String,
        /// How it differs.
        what: String,
    },
}

impl From<RabbitMqError> for BackendError {
    fn from(error: RabbitMqError) -> Self {
        BackendError::new(Fault::Rejected, RABBITMQ, "open the queue", error.to_string())
    }
}

/// The server did not answer, or not as hoped; trying again can help.
pub(crate) fn unavailable(
    operation: &'static str,
    detail: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> BackendError {
    let error = BackendError::new(Fault::Unavailable, RABBITMQ, operation, detail);
    BackendError { source: Some(source.into()), ..error }
}

/// The server does not keep a request, and never will.
pub(crate) fn rejected(operation: &'static str, detail: String) -> BackendError {
    BackendError::new(Fault::Rejected, RABBITMQ, operation, detail)
}
