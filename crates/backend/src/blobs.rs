//! Stored bytes: named by their content, verified when read, and put in place only when whole.
//!
//! `object_store::ObjectStore` is the storage trait; this adds what it lacks.

use crate::error::{BackendError, Fault};
use crate::links::{LinkSigner, Presentation, SignedRequest};
use crate::prefixed::PrefixedSigner;
use crate::reading::{Reading, SLICE_BYTES};
use crate::upload::Upload;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::MerchantId;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

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
    /// Whether a single put shows the whole object or nothing, and survives a crash once it is
    /// answered. What fits into one part then goes to its place at once.
    pub atomic_put: bool,
}

/// A store of immutable bytes, kept apart by merchant.
///
/// # Contract
///
/// - **Names.** A blob's key is `blobs/<merchant>/<sha256>`; the same bytes of the same merchant
///   are stored once, and another merchant's are never found.
/// - **Whole or not at all.** Bytes arrive under `quarantine/` and are moved when they are
///   complete and their hash is known, or they are put at once. A blob that can be found is whole.
/// - **Repeats.** Putting the same bytes again answers the same, and mends a damaged blob.
/// - **Limits.** A stream that exceeds the limit is refused with `Rejected`, and nothing of it
///   remains; neither does anything of a stream that breaks off.
/// - **Verified.** `read` answers `Corrupt` when the stored bytes are not those that the name
///   promises. Ranges cannot be verified; a range that goes beyond the blob is `Rejected`.
/// - **Missing** blobs answer `NotFound`.
/// - **Links.** A store that signs links itself lets a client without a key get a blob, or put one
///   into quarantine, until the link expires. What was put there counts for nothing before
///   `receive`, which takes a copy that nobody can change any more and hashes it.
/// - **No locks.** Nothing rests on conditional writes, which not every store keeps: a key names
///   its content, so writing twice writes the same.
/// - **Who retries.** The caller; every call may be repeated.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    caps: BlobsCaps,
    signer: Option<Arc<dyn LinkSigner>>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("caps", &self.caps).finish()
    }
}

impl Blobs {
    /// Puts blobs into a store.
    pub fn new(store: Arc<dyn ObjectStore>, caps: BlobsCaps) -> Self {
        Self { store, caps, signer: None }
    }

    /// The same, with links that the store signs itself.
    pub fn signing(self, signer: Arc<dyn LinkSigner>) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// The same, over what `wrap` makes of the store.
    pub fn over(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { store: wrap(self.store), ..self }
    }

    /// Whether the store signs links itself.
    pub fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// What it is.
    pub fn caps(&self) -> &BlobsCaps {
        &self.caps
    }

    /// The store below, for conformance cases that damage it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The same store as it is below `prefix`: nothing beside it is seen or touched.
    pub fn below(&self, prefix: &Path) -> Self {
        let store = PrefixStore::new(self.store.clone(), prefix.clone());
        let signer = self.signer.clone().map(|signer| {
            Arc::new(PrefixedSigner::new(signer, prefix.clone())) as Arc<dyn LinkSigner>
        });
        Self { store: Arc::new(store), caps: self.caps.clone(), signer }
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

    /// Stores bytes as they arrive, up to `limit` of them.
    pub async fn put_stream<E>(
        &self,
        merchant: MerchantId,
        mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
        limit: u64,
    ) -> Result<BlobRef, BackendError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let quarantine = fresh_quarantine(merchant);
        let mut upload = Upload::new(self.store.clone(), quarantine.clone(), self.caps.part_bytes);
        let (blob, only_part) = match self.write(&mut upload, &mut stream, limit).await {
            Ok(written) => written,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        if let Some(bytes) = only_part {
            let key = match self.caps.atomic_put {
                true => &Self::key(merchant, &blob.sha256),
                false => &quarantine,
            };
            let put = self.store.put(key, PutPayload::from_bytes(bytes)).await;
            put.map_err(|error| self.failed("store an upload", error))?;
            if self.caps.atomic_put {
                return Ok(blob);
            }
        }
        self.promote(merchant, &quarantine, &blob).await?;
        Ok(blob)
    }

    async fn write<E>(
        &self,
        upload: &mut Upload,
        stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin + Send),
        limit: u64,
    ) -> Result<(BlobRef, Option<Bytes>), BackendError>
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
        let finished = upload.finish().await;
        let only_part = finished.map_err(|error| self.failed("finish an upload", error))?;
        Ok((BlobRef { sha256: hex::encode(hash.finalize()), size }, only_part))
    }

    /// A request by which a client gets a blob from the store itself, where the store signs such
    /// requests. Whether the blob is there is not looked up.
    pub async fn download_request(
        &self,
        merchant: MerchantId,
        sha256: &str,
        presentation: &Presentation,
        life: Duration,
    ) -> Result<Option<SignedRequest>, BackendError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        signer.download(&Self::key(merchant, sha256), presentation, life).await.map(Some)
    }

    /// A request by which a client puts `content` into the store's quarantine itself, where the
    /// store signs such requests. `upload` names the place; `receive` takes it in from there.
    pub async fn upload_request(
        &self,
        merchant: MerchantId,
        upload: &str,
        content: &BlobRef,
        life: Duration,
    ) -> Result<Option<SignedRequest>, BackendError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        signer.upload(&quarantine(merchant, upload), content, life).await.map(Some)
    }

    /// Takes in what a client put into quarantine by an `upload_request`, and says what it is.
    /// The client may still be writing there, so a copy is what is hashed and kept.
    ///
    /// `NotFound` when nothing is there; `Rejected` beyond `limit`, and then it is removed.
    pub async fn receive(
        &self,
        merchant: MerchantId,
        upload: &str,
        limit: u64,
    ) -> Result<BlobRef, BackendError> {
        const RECEIVE: &str = "receive an upload";
        let (from, copy) = (quarantine(merchant, upload), fresh_quarantine(merchant));
        let size = self.store.head(&from).await.map_err(|error| self.failed(RECEIVE, error))?.size;
        if size > limit {
            let _ = self.store.delete(&from).await;
            let detail = format!("it has more than {limit} bytes");
            return Err(self.error(Fault::Rejected, RECEIVE, detail));
        }
        let copied = self.store.copy(&from, &copy).await;
        copied.map_err(|error| self.failed(RECEIVE, error))?;
        let blob = match self.digest(&copy, limit).await {
            Ok(blob) => blob,
            Err(error) => {
                let _ = self.store.delete(&copy).await;
                return Err(error);
            }
        };
        self.promote(merchant, &copy, &blob).await?;
        // What stays there is no harm: old uploads are removed.
        let _ = self.store.delete(&from).await;
        Ok(blob)
    }

    async fn digest(&self, key: &Path, limit: u64) -> Result<BlobRef, BackendError> {
        let failed = |error| self.failed("hash an upload", error);
        let size = self.store.head(key).await.map_err(failed)?.size;
        if size > limit {
            let detail = format!("it has more than {limit} bytes");
            return Err(self.error(Fault::Rejected, "hash an upload", detail));
        }
        let mut hash = Sha256::new();
        if size > 0 {
            let begun = Reading::begin(self.store.clone(), key.clone(), 0..size, SLICE_BYTES);
            let mut parts = begun.await.map_err(failed)?.0.into_stream();
            while let Some(bytes) = parts.try_next().await.map_err(failed)? {
                hash.update(&bytes);
            }
        }
        Ok(BlobRef { sha256: hex::encode(hash.finalize()), size })
    }

    /// A whole blob, verified against its name.
    pub async fn read(&self, merchant: MerchantId, blob: &BlobRef) -> Result<Bytes, BackendError> {
        let bytes = match self.caps.local || blob.size <= SLICE_BYTES {
            true => {
                let key = Self::key(merchant, &blob.sha256);
                let read = async { self.store.get(&key).await?.bytes().await };
                read.await.map_err(|error| self.failed("read a blob", error))?
            }
            false => self.read_slices(merchant, blob).await?,
        };
        if hex::encode(Sha256::digest(&bytes)) == blob.sha256 {
            return Ok(bytes);
        }
        let detail = format!("the bytes of {} are not those that were stored", blob.sha256);
        Err(self.error(Fault::Corrupt, "read a blob", detail))
    }

    /// All bytes of a large blob that is far away, or as many as there are.
    async fn read_slices(
        &self,
        merchant: MerchantId,
        blob: &BlobRef,
    ) -> Result<Bytes, BackendError> {
        let whole = 0..blob.size;
        let mut parts = match self.stream(merchant, &blob.sha256, whole).await {
            Err(error) if error.fault == Fault::Rejected => return Ok(Bytes::new()),
            parts => parts?,
        };
        let mut bytes = BytesMut::with_capacity(usize::try_from(blob.size).unwrap_or(0));
        while let Some(part) = parts.try_next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
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
        let slice = if self.caps.local { u64::MAX } else { SLICE_BYTES };
        let begun = Reading::begin(self.store.clone(), key, range, slice).await;
        let size = match &begun {
            Ok((_, size)) => *size,
            // Some stores refuse such a range, each in its own words.
            Err(_) => self.size(merchant, sha256).await?.unwrap_or(end),
        };
        if end > size {
            let detail = format!("the range ends at {end}, the blob at {size}");
            return Err(self.error(Fault::Rejected, "read a blob", detail));
        }
        let (reading, _) = begun.map_err(|error| self.failed("read a blob", error))?;
        let name = self.caps.name;
        let parts = reading.into_stream();
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
        if let Err(error) = moved {
            let _ = self.store.delete(quarantine).await;
            return Err(self.failed("move an upload into place", error));
        }
        Ok(())
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

/// Where an upload is until it is whole.
fn quarantine(merchant: MerchantId, upload: &str) -> Path {
    Path::from(format!("quarantine/{merchant}/{upload}"))
}

/// A place in quarantine that no two uploads share, since it is random.
fn fresh_quarantine(merchant: MerchantId) -> Path {
    quarantine(merchant, &hex::encode(crate::fresh::bytes::<16>()))
}

fn failed(
    backend: &'static str,
    operation: &'static str,
    error: object_store::Error,
) -> BackendError {
    if let Some(BackendError { detail, .. }) = cause::<BackendError>(&error) {
        // Not the store's own failure, but of what guards it.
        return BackendError::new(fault_of(&error), backend, operation, detail.clone());
    }
    let fault = fault_of(&error);
    let detail = match fault {
        Fault::NotFound => "it is not there",
        Fault::Full => "no space is left",
        Fault::ReadOnly if cause::<std::io::Error>(&error).is_some() => "it may not be written to",
        Fault::ReadOnly => "the store does not allow it",
        Fault::Rejected => "the store does not do that",
        Fault::Unavailable | Fault::Corrupt | Fault::Other => {
            "the store did not answer as it should"
        }
    };
    BackendError::new(fault, backend, operation, detail).because(error)
}

/// What kind of failure a store's error is.
pub fn fault_of(error: &object_store::Error) -> Fault {
    use object_store::Error;
    use std::io::ErrorKind;
    if let Some(guard) = cause::<BackendError>(error) {
        return guard.fault;
    }
    let io = cause::<std::io::Error>(error).map(std::io::Error::kind);
    match (error, io) {
        (Error::NotFound { .. }, _) => Fault::NotFound,
        (_, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) => Fault::Full,
        (_, Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)) => Fault::ReadOnly,
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => Fault::ReadOnly,
        (Error::NotSupported { .. } | Error::InvalidPath { .. }, _) => Fault::Rejected,
        _ => Fault::Unavailable,
    }
}

/// The first error of a type among those that caused an error.
fn cause<E: std::error::Error + 'static>(error: &object_store::Error) -> Option<&E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
