//! Links that a store signs itself, so that files go straight between it and a client.

use crate::error::BackendError;
use async_trait::async_trait;
use object_store::path::Path;
use printmill_domain::asset::BlobRef;
use std::time::Duration;

/// A request that needs no key: whoever has it may send it until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// Where to send it. It holds a signature, so it is not for logs.
    pub url: String,
    /// What to send with it, exactly so: they are signed as well.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unsigned = self.url.split('?').next();
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("to", &unsigned)
            .finish()
    }
}

/// What a download is called and what it is, for who saves or shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    /// A value for `Content-Disposition`.
    pub disposition: String,
    /// A value for `Content-Type`.
    pub media_type: String,
}

/// Signs requests to a store.
///
/// # Contract
///
/// - **One thing.** A signed request is good for its method and its object, and no other.
/// - **Expiry.** It is refused after `life`.
/// - **Exactly.** An upload is signed for one content: bytes of another length or, where the
///   store checks it, of another hash are refused, and nothing of them is stored.
/// - **Whose.** It gives its bearer what the store's own key may do with that object.
#[async_trait]
pub trait LinkSigner: Send + Sync {
    /// A request that gets an object.
    async fn download(
        &self,
        key: &Path,
        presentation: &Presentation,
        life: Duration,
    ) -> Result<SignedRequest, BackendError>;

    /// A request that puts an object with this content, and no other.
    async fn upload(
        &self,
        key: &Path,
        content: &BlobRef,
        life: Duration,
    ) -> Result<SignedRequest, BackendError>;
}
