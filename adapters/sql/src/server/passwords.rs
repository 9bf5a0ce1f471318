//! Where the password of a connection comes from: the address, or AWS, for a while each.

#[cfg(feature = "rds")]
use super::iam::{LIFE, Tokens};
use crate::server_address::{Authentication, Password, ServerAddress};
use printmill_backend::BackendError;
#[cfg(not(feature = "rds"))]
use printmill_backend::Fault;
use std::future::Future;
#[cfg(feature = "rds")]
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

/// The passwords for one server.
#[derive(Debug, Clone)]
pub(crate) enum Passwords {
    /// Always this one.
    Given(Password),
    /// Another one each time.
    #[cfg(feature = "rds")]
    Iam(Arc<Tokens>),
}

impl Passwords {
    /// Finds what an address asks for.
    pub(crate) async fn of(
        backend: &'static str,
        address: &ServerAddress,
    ) -> Result<Self, BackendError> {
        match address.authentication {
            Authentication::Password => Ok(Self::Given(address.password.clone())),
            #[cfg(feature = "rds")]
            Authentication::Iam => Ok(Self::Iam(Arc::new(Tokens::open(backend, address).await?))),
            #[cfg(not(feature = "rds"))]
            Authentication::Iam => {
                let detail = "'auth=iam' needs a build with the feature 'rds'";
                Err(BackendError::new(Fault::Rejected, backend, "open the database", detail))
            }
        }
    }

    /// The password for a connection that is made now.
    pub(crate) async fn next(&self) -> Result<String, BackendError> {
        match self {
            Self::Given(password) => Ok(password.reveal().to_owned()),
            #[cfg(feature = "rds")]
            Self::Iam(tokens) => tokens.next().await,
        }
    }

    fn renewed_after(&self) -> Option<Duration> {
        match self {
            Self::Given(_) => None,
            #[cfg(feature = "rds")]
            Self::Iam(_) => Some(LIFE / 3),
        }
    }

    /// Calls `renew` again and again, for who keeps a password longer than it lasts; never if it
    /// lasts for ever. Ends when `counter` is closed.
    pub(crate) fn keep_new<R>(
        &self,
        counter: watch::Sender<u64>,
        renew: impl Fn() -> R + Send + 'static,
    ) where
        R: Future<Output = Result<(), BackendError>> + Send,
    {
        let Some(pause) = self.renewed_after() else { return };
        let renewing = async move {
            loop {
                sleep(pause).await;
                if let Err(error) = renew().await {
                    tracing::warn!(error = %error.chain(), "there is no new password");
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = counter.closed() => {}
                () = renewing => {}
            }
        });
    }
}
