//! Bytes on their way into a store: cut into parts, never more than two of them in memory.

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use std::sync::Arc;
use tokio::task::JoinSet;

/// An upload: one part fills while the one before is being stored. What fits into one part is not
/// stored yet when it is over.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    key: Path,
    parts: Option<Box<dyn MultipartUpload>>,
    part_bytes: usize,
    filling: BytesMut,
    storing: JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, key: Path, part_bytes: usize) -> Self {
        let (filling, storing) = (BytesMut::new(), JoinSet::new());
        Self { store, key, parts: None, part_bytes, filling, storing }
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> object_store::Result<()> {
        while !bytes.is_empty() {
            if self.filling.len() == self.part_bytes {
                self.store_part().await?;
            }
            if self.filling.is_empty() {
                // At once, since growing would end at up to twice as much.
                self.filling.reserve(self.part_bytes);
            }
            let (now, later) =
                bytes.split_at(bytes.len().min(self.part_bytes - self.filling.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Stores what is left, and puts the parts together; or gives back the only part.
    pub(crate) async fn finish(&mut self) -> object_store::Result<Option<Bytes>> {
        if self.parts.is_none() {
            return Ok(Some(std::mem::take(&mut self.filling).freeze()));
        }
        if !self.filling.is_empty() {
            self.store_part().await?;
        }
        self.settle().await?;
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        Ok(None)
    }

    /// Gives up, and removes what was stored. There is nothing to do about a failure of that.
    pub(crate) async fn abort(mut self) {
        self.storing.shutdown().await;
        if let Some(mut parts) = self.parts.take() {
            let _ = parts.abort().await;
        }
    }

    async fn store_part(&mut self) -> object_store::Result<()> {
        self.settle().await?;
        if self.parts.is_none() {
            self.parts = Some(self.store.put_multipart(&self.key).await?);
        }
        let part = std::mem::take(&mut self.filling).freeze();
        if let Some(parts) = &mut self.parts {
            self.storing.spawn(parts.put_part(PutPayload::from_bytes(part)));
        }
        Ok(())
    }

    async fn settle(&mut self) -> object_store::Result<()> {
        while let Some(stored) = self.storing.join_next().await {
            stored.map_err(|source| object_store::Error::JoinError { source })??;
        }
        Ok(())
    }
}

/// Who uploads may vanish in the middle. Stores keep the parts of uploads that nobody ends.
impl Drop for Upload {
    fn drop(&mut self) {
        self.storing.abort_all();
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(mut parts), Ok(runtime)) = (self.parts.take(), runtime) {
            runtime.spawn(async move {
                let _ = parts.abort().await;
            });
        }
    }
}
