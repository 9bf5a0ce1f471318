//! Bytes on their way into a store: cut into parts, never more than two of them in memory.

use bytes::BytesMut;
use object_store::{MultipartUpload, PutPayload};
use tokio::task::JoinSet;

/// Bytes are written to the store in parts of this size, which the strictest stores accept.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// An upload that has begun: one part fills while the one before is being stored.
pub(crate) struct Upload {
    parts: Box<dyn MultipartUpload>,
    filling: BytesMut,
    storing: JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(crate) fn new(parts: Box<dyn MultipartUpload>) -> Self {
        Self { parts, filling: BytesMut::new(), storing: JoinSet::new() }
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> object_store::Result<()> {
        while !bytes.is_empty() {
            if self.filling.is_empty() {
                // At once, since growing would end at eight megabytes.
                self.filling.reserve(PART_BYTES);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.filling.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == PART_BYTES {
                self.store_part().await?;
            }
        }
        Ok(())
    }

    /// Stores what is left, and puts the parts together.
    pub(crate) async fn finish(&mut self) -> object_store::Result<()> {
        if !self.filling.is_empty() {
            self.store_part().await?;
        }
        self.settle().await?;
        self.parts.complete().await.map(|_| ())
    }

    /// Gives up, and removes what was stored. There is nothing to do about a failure of that.
    pub(crate) async fn abort(mut self) {
        self.storing.shutdown().await;
        let _ = self.parts.abort().await;
    }

    async fn store_part(&mut self) -> object_store::Result<()> {
        self.settle().await?;
        let part = std::mem::take(&mut self.filling).freeze();
        self.storing.spawn(self.parts.put_part(PutPayload::from_bytes(part)));
        Ok(())
    }

    async fn settle(&mut self) -> object_store::Result<()> {
        while let Some(stored) = self.storing.join_next().await {
            stored.map_err(|source| object_store::Error::JoinError { source })??;
        }
        Ok(())
    }
}
