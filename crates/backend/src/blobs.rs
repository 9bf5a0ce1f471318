//! Stored bytes: named by their content, verified when read, and put in place only when whole.
//!
//! `object_store::ObjectStore` is the storage trait; this adds what it lacks.

use crate::error::{BackendError, Fault};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::MerchantId;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;

/// Bytes are written to the store in parts of this size.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// What a store of blobs says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobsCaps {
    /// Its name in messages: `disk`, `memory`.
    pub name: &'static str,
    /// Whether it is on this machine only, so that other machines cannot read it.
    pub local: bool,
}

/// A store of immutable bytes, kept apart by merchant.
///
/// # Contract
///
/// - **Names.** A blob's key is `blobs/<merchant>/<sha256>`; the same bytes of the same merchant
///   are stored once, and another merchant's are never found.
/// - **Whole or not at all.** Bytes arrive under `quarantine/` and are moved when they are
///   complete and their hash is known. A blob that can be found is whole.
/// - **Repeats.** Putting the same bytes again changes nothing and answers the same.
/// - **Limits.** A stream that exceeds the limit is refused, and nothing of it remains.
/// - **Verified.** `read` answers `Corrupt` when the stored bytes are not those that the name
///   promises. Ranges cannot be verified.
/// - **Missing** blobs answer `NotFound`.
/// - **Who retries.** The caller; every call may be repeated.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    caps: BlobsCaps,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("caps", &self.caps).finish()
    }
}

impl Blobs {
    /// Puts blobs into a store.
    pub fn new(store: Arc<dyn ObjectStore>, caps: BlobsCaps) -> Self {
        Self { store, caps }
    }

    /// What it is.
    pub fn caps(&self) -> &BlobsCaps {
        &self.caps
    }

    /// The store below, for conformance cases that damage it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where a blob is in the store.
    pub fn key(merchant: MerchantId, sha256: &str) -> Path {
        Path::from(format!("blobs/{merchant}/{sha256}"))
    }

    /// Stores bytes that are in memory.
    pub async fn put(&self, merchant: MerchantId, bytes: Bytes) -> Result<BlobRef, BackendError> {
        let limit = bytes.len() as u64;
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(bytes)]);
        self.put_stream(merchant, stream, limit).await
    }

    /// Stores bytes as they arrive, up to `limit` of them. `upload` is made from the time and
    /// randomness, so that no two uploads share a place in quarantine.
    pub async fn put_stream<E>(
        &self,
        merchant: MerchantId,
        mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
        limit: u64,
    ) -> Result<BlobRef, BackendError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let upload = hex::encode(crate::fresh::bytes::<16>());
        let quarantine = Path::from(format!("quarantine/{merchant}/{upload}"));
        let multipart = self.store.put_multipart(&quarantine).await;
        let multipart = multipart.map_err(|error| self.failed("begin an upload", error))?;
        let mut writer = WriteMultipart::new_with_chunk_size(multipart, PART_BYTES);
        let mut hash = Sha256::new();
        let mut size = 0u64;
        let arrived = loop {
            match stream.next().await {
                None => break Ok(()),
                Some(Err(error)) => {
                    let fault = Fault::Unavailable;
                    break Err(self
                        .error(fault, "receive an upload", "it broke off")
                        .because(error));
                }
                Some(Ok(bytes)) => {
                    size += bytes.len() as u64;
                    if size > limit {
                        let detail = format!("it has more than {limit} bytes");
                        break Err(self.error(Fault::Rejected, "receive an upload", detail));
                    }
                    hash.update(&bytes);
                    if let Err(error) = writer.wait_for_capacity(2).await {
                        break Err(self.failed("store an upload", error));
                    }
                    writer.write(&bytes);
                }
            }
        };
        if let Err(error) = arrived {
            let _ = writer.abort().await;
            return Err(error);
        }
        writer.finish().await.map_err(|error| self.failed("finish an upload", error))?;
        let blob = BlobRef { sha256: hex::encode(hash.finalize()), size };
        self.promote(merchant, &quarantine, &blob).await?;
        Ok(blob)
    }

    /// A whole blob, verified against its name.
    pub async fn read(&self, merchant: MerchantId, blob: &BlobRef) -> Result<Bytes, BackendError> {
        let key = Self::key(merchant, &blob.sha256);
        let found =
            self.store.get(&key).await.map_err(|error| self.failed("read a blob", error))?;
        let bytes = found.bytes().await.map_err(|error| self.failed("read a blob", error))?;
        if hex::encode(Sha256::digest(&bytes)) == blob.sha256 {
            return Ok(bytes);
        }
        let detail = format!("the bytes of {} are not those that were stored", blob.sha256);
        Err(self.error(Fault::Corrupt, "read a blob", detail))
    }

    /// A part of a blob as a stream; the range must lie within it. Not verified.
    pub async fn stream(
        &self,
        merchant: MerchantId,
        sha256: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError> {
        let key = Self::key(merchant, sha256);
        if range.is_empty() {
            self.store.head(&key).await.map_err(|error| self.failed("find a blob", error))?;
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..Default::default() };
        let found = self.store.get_opts(&key, options).await;
        let found = found.map_err(|error| self.failed("read a blob", error))?;
        let name = self.caps.name;
        let parts = found.into_stream();
        Ok(parts.map(move |part| part.map_err(|e| failed(name, "read a blob", e))).boxed())
    }

    /// The length of a blob in bytes, if it is there.
    pub async fn size(
        &self,
        merchant: MerchantId,
        sha256: &str,
    ) -> Result<Option<u64>, BackendError> {
        match self.store.head(&Self::key(merchant, sha256)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("find a blob", error)),
        }
    }

    /// Removes a blob. Harmless when it is not there.
    pub async fn delete(&self, merchant: MerchantId, sha256: &str) -> Result<(), BackendError> {
        match self.store.delete(&Self::key(merchant, sha256)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete a blob", error)),
        }
    }

    /// Writes, reads and removes a small object, to find out at start whether the store works.
    pub async fn probe(&self) -> Result<(), BackendError> {
        let key = Path::from(format!("probe/{}", hex::encode(crate::fresh::bytes::<8>())));
        let put = self.store.put(&key, PutPayload::from_static(b"printmill")).await;
        put.map_err(|error| self.failed("write a test object", error))?;
        self.store.delete(&key).await.map_err(|error| self.failed("delete a test object", error))
    }

    async fn promote(
        &self,
        merchant: MerchantId,
        quarantine: &Path,
        blob: &BlobRef,
    ) -> Result<(), BackendError> {
        let key = Self::key(merchant, &blob.sha256);
        let moved = match self.size(merchant, &blob.sha256).await? {
            Some(size) if size == blob.size => self.store.delete(quarantine).await,
            _ => self.store.rename(quarantine, &key).await,
        };
        moved.map_err(|error| self.failed("move an upload into place", error))
    }

    fn error(
        &self,
        fault: Fault,
        operation: &'static str,
        detail: impl Into<String>,
    ) -> BackendError {
        BackendError::new(fault, self.caps.name, operation, detail)
    }

    fn failed(&self, operation: &'static str, error: object_store::Error) -> BackendError {
        failed(self.caps.name, operation, error)
    }
}

fn failed(
    backend: &'static str,
    operation: &'static str,
    error: object_store::Error,
) -> BackendError {
    let io = io_cause(&error);
    let (fault, detail) = match (&error, io) {
        (object_store::Error::NotFound { .. }, _) => (Fault::NotFound, "it is not there"),
        (_, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) => {
            (Fault::Full, "no space is left")
        }
        (_, Some(std::io::ErrorKind::ReadOnlyFilesystem))
        | (_, Some(std::io::ErrorKind::PermissionDenied))
        | (object_store::Error::PermissionDenied { .. }, _) => {
            (Fault::ReadOnly, "it may not be written to")
        }
        (object_store::Error::NotSupported { .. } | object_store::Error::InvalidPath { .. }, _) => {
            (Fault::Rejected, "the store does not do that")
        }
        _ => (Fault::Unavailable, "the store did not answer as it should"),
    };
    BackendError::new(fault, backend, operation, detail).because(error)
}

fn io_cause(error: &object_store::Error) -> Option<std::io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = current.source();
    }
    None
}
