//! Stored bytes: named by their content, verified when read, and put in place only when whole.
//!
//! `object_store::ObjectStore` is the storage trait; this adds what it lacks.

use crate::error::{BackendError, Fault};
use crate::upload::Upload;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::MerchantId;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;

/// What a store of blobs says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobsCaps {
    /// Its name in messages: `disk`, `memory`.
    pub name: &'static str,
    /// Whether it is on this machine only, so that other machines cannot read it.
    pub local: bool,
    /// How many bytes at once are written to it, at least. An upload holds up to twice as many in
    /// memory. S3-compatible stores ask for 5 MiB; a disk is content with little.
    pub part_bytes: usize,
}

/// A store of immutable bytes, kept apart by merchant.
///
/// # Contract
///
/// - **Names.** A blob's key is `blobs/<merchant>/<sha256>`; the same bytes of the same merchant
///   are stored once, and another merchant's are never found.
/// - **Whole or not at all.** Bytes arrive under `quarantine/` and are moved when they are
///   complete and their hash is known. A blob that can be found is whole.
/// - **Repeats.** Putting the same bytes again answers the same, and mends a damaged blob.
/// - **Limits.** A stream that exceeds the limit is refused with `Rejected`, and nothing of it
///   remains; neither does anything of a stream that breaks off.
/// - **Verified.** `read` answers `Corrupt` when the stored bytes are not those that the name
///   promises. Ranges cannot be verified; a range that goes beyond the blob is `Rejected`.
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
        let parts = self.store.put_multipart(&quarantine).await;
        let parts = parts.map_err(|error| self.failed("begin an upload", error))?;
        let mut upload = Upload::new(parts, self.caps.part_bytes);
        let blob = match self.receive(&mut upload, &mut stream, limit).await {
            Ok(blob) => blob,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        if let Err(error) = self.promote(merchant, &quarantine, &blob).await {
            let _ = self.store.delete(&quarantine).await;
            return Err(error);
        }
        Ok(blob)
    }

    async fn receive<E>(
        &self,
        upload: &mut Upload,
        stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin + Send),
        limit: u64,
    ) -> Result<BlobRef, BackendError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut hash = Sha256::new();
        let mut size = 0u64;
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| {
                self.error(Fault::Unavailable, "receive an upload", "it broke off").because(error)
            })?;
            size += bytes.len() as u64;
            if size > limit {
                let detail = format!("it has more than {limit} bytes");
                return Err(self.error(Fault::Rejected, "receive an upload", detail));
            }
            hash.update(&bytes);
            let stored = upload.write(&bytes).await;
            stored.map_err(|error| self.failed("store an upload", error))?;
        }
        upload.finish().await.map_err(|error| self.failed("finish an upload", error))?;
        Ok(BlobRef { sha256: hex::encode(hash.finalize()), size })
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
        let end = range.end;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..Default::default() };
        let found = self.store.get_opts(&key, options).await;
        let size = match &found {
            Ok(found) => found.meta.size,
            // Some stores refuse such a range, each in its own words.
            Err(_) => self.size(merchant, sha256).await?.unwrap_or(end),
        };
        if end > size {
            let detail = format!("the range ends at {end}, the blob at {size}");
            return Err(self.error(Fault::Rejected, "read a blob", detail));
        }
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
        const CONTENT: &[u8] = b"printmill";
        let key = Path::from(format!("probe/{}", hex::encode(crate::fresh::bytes::<8>())));
        let put = self.store.put(&key, PutPayload::from_static(CONTENT)).await;
        put.map_err(|error| self.failed("write a test object", error))?;
        let read = async { self.store.get(&key).await?.bytes().await }.await;
        let deleted = self.store.delete(&key).await;
        let read = read.map_err(|error| self.failed("read a test object", error))?;
        if read != CONTENT {
            let detail = "it came back different from what was written";
            return Err(self.error(Fault::Corrupt, "read a test object", detail));
        }
        deleted.map_err(|error| self.failed("delete a test object", error))
    }

    async fn promote(
        &self,
        merchant: MerchantId,
        quarantine: &Path,
        blob: &BlobRef,
    ) -> Result<(), BackendError> {
        // Also when the blob is there: it may be damaged, or about to be deleted.
        let moved = self.store.rename(quarantine, &Self::key(merchant, &blob.sha256)).await;
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
