//! Bytes on their way into a store: cut into parts, never more than two of them in memory.

use bytes::BytesMut;
use object_store::{MultipartUpload, PutPayload};
use tokio::task::JoinSet;

/// An upload that has begun: one part fills while the one before is being stored.
pub(crate) struct Upload {
    parts: Box<dyn MultipartUpload>,
    part_bytes: usize,
    filling: BytesMut,
    storing: JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(crate) fn new(parts: Box<dyn MultipartUpload>, part_bytes: usize) -> Self {
        Self { parts, part_bytes, filling: BytesMut::new(), storing: JoinSet::new() }
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> object_store::Result<()> {
        while !bytes.is_empty() {
            if self.filling.is_empty() {
                // At once, since growing would end at up to twice as much.
                self.filling.reserve(self.part_bytes);
            }
            let (now, later) =
                bytes.split_at(bytes.len().min(self.part_bytes - self.filling.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == self.part_bytes {
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
