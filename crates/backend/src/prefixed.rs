//! Links to what is below a prefix of a store.

use crate::error::BackendError;
use crate::links::{LinkSigner, Presentation, SignedRequest};
use async_trait::async_trait;
use object_store::path::Path;
use printmill_domain::asset::BlobRef;
use std::sync::Arc;
use std::time::Duration;

/// Signs for keys that are counted from a prefix.
pub(crate) struct PrefixedSigner {
    signer: Arc<dyn LinkSigner>,
    prefix: Path,
}

impl PrefixedSigner {
    pub(crate) fn new(signer: Arc<dyn LinkSigner>, prefix: Path) -> Self {
        Self { signer, prefix }
    }

    fn full(&self, key: &Path) -> Path {
        self.prefix.parts().chain(key.parts()).collect()
    }
}

#[async_trait]
impl LinkSigner for PrefixedSigner {
    async fn download(
        &self,
        key: &Path,
        presentation: &Presentation,
        life: Duration,
    ) -> Result<SignedRequest, BackendError> {
        self.signer.download(&self.full(key), presentation, life).await
    }

    async fn upload(
        &self,
        key: &Path,
        content: &BlobRef,
        life: Duration,
    ) -> Result<SignedRequest, BackendError> {
        self.signer.upload(&self.full(key), content, life).await
    }
}
