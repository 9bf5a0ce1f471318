//! The store below blobs, guarded.

use crate::backend::{Backend, Limits};
use crate::call::{Failing, Once, Operation, Repeatable};
use crate::metrics::Metrics;
use crate::stack::stalled;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const GET: Operation = Operation::new(0, "get", "read an object");
const HEAD: Operation = Operation::new(1, "head", "find an object");
const GET_RANGES: Operation = Operation::new(2, "get_ranges", "read parts of an object");
const PUT: Operation = Operation::new(3, "put", "write an object");
const BEGIN_UPLOAD: Operation = Operation::new(4, "begin_upload", "begin an upload");
const PUT_PART: Operation = Operation::new(5, "put_part", "write a part of an upload");
const COMPLETE_UPLOAD: Operation = Operation::new(6, "complete_upload", "complete an upload");
const ABORT_UPLOAD: Operation = Operation::new(7, "abort_upload", "abort an upload");
const DELETE: Operation = Operation::new(8, "delete", "delete an object");
const LIST: Operation = Operation::new(9, "list", "list objects");
const COPY: Operation = Operation::new(10, "copy", "copy an object");
const RENAME: Operation = Operation::new(11, "rename", "rename an object");

/// What goes to a store may go so slowly, in bytes a second: beyond the timeout, that is its time.
const SLOWEST: u64 = 64 * 1024;
/// What a store does by itself with an object of any size may take so many timeouts.
const WHOLE_OBJECT: u32 = 8;

/// Guards a store.
///
/// What is read is limited by lack of progress, before the first byte and between any two parts,
/// for which the reader waited; never in total. What is written gets a time by its size. A read is
/// repeated until it begins to come, and so is a put or copy that replaces what is there: keys name
/// their content. Nothing else is: an object that was moved is not there to be moved again.
pub(crate) struct Guarded {
    inner: Arc<dyn ObjectStore>,
    backend: Arc<Backend>,
}

impl Guarded {
    pub(crate) fn new(
        metrics: &Metrics,
        name: &'static str,
        inner: Arc<dyn ObjectStore>,
        limits: Limits,
    ) -> Self {
        let backend = Backend::new(metrics, "blobs", name, limits, &[("calls", 1)]);
        Self { inner, backend }
    }

    /// The time for something that a store does with a whole object.
    fn long(&self) -> Duration {
        self.backend.timeout * WHOLE_OBJECT
    }

    /// A stream whose first item comes through the stack, and the others without standing still.
    fn stream<T: Send + 'static>(
        &self,
        operation: &'static Operation,
        mut parts: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let backend = self.backend.clone();
        let begun = async move {
            let first = async || match parts.next().await {
                Some(Err(error)) if error.unanswered() => Err(error),
                first => Ok(first),
            };
            let first = backend.call(operation, Once(first)).await?;
            let rest = moving(backend.clone(), operation, parts);
            Ok::<_, Error>(stream::iter(first).chain(rest))
        };
        stream::once(begun).try_flatten().boxed()
    }
}

/// The time for sending so many bytes.
fn by_size(backend: &Backend, payload: &PutPayload) -> Duration {
    let bytes = u64::try_from(payload.content_length()).unwrap_or(u64::MAX);
    backend.timeout.saturating_add(Duration::from_secs(bytes / SLOWEST))
}

/// A stream that fails when it stands still while somebody waits for it.
fn moving<T: Send + 'static>(
    backend: Arc<Backend>,
    operation: &'static Operation,
    parts: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let moving = stream::unfold(Some((backend, parts)), move |moving| async move {
        let (backend, mut parts) = moving?;
        match tokio::time::timeout(backend.timeout, parts.next()).await {
            Ok(part) => Some((part?, Some((backend, parts)))),
            Err(_) => Some((Err(Error::of(stalled(&backend, operation))), None)),
        }
    });
    moving.boxed()
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&self.inner).finish()
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let limit = by_size(&self.backend, &payload);
        let replaces = matches!(options.mode, PutMode::Overwrite);
        let (payload, options) = (&payload, &options);
        let put = || self.inner.put_opts(location, payload.clone(), options.clone());
        match replaces {
            true => self.backend.call_within(&PUT, limit, 0, Repeatable(put)).await,
            false => self.backend.call_within(&PUT, limit, 0, Once(put)).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = Once(|| self.inner.put_multipart_opts(location, options));
        let inner = self.backend.call(&BEGIN_UPLOAD, begin).await?;
        Ok(Box::new(GuardedUpload { inner, backend: self.backend.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { &HEAD } else { &GET };
        let options = &options;
        let get = Repeatable(|| self.inner.get_opts(location, options.clone()));
        let mut found = self.backend.call(operation, get).await?;
        #[allow(unreachable_patterns, reason = "files come only with a feature of object_store")]
        match found.payload {
            GetResultPayload::Stream(parts) => {
                let parts = moving(self.backend.clone(), operation, parts);
                found.payload = GetResultPayload::Stream(parts);
                Ok(found)
            }
            // A file of this machine, which is read faster as one.
            _ => Ok(found),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = Repeatable(|| self.inner.get_ranges(location, ranges));
        self.backend.call_within(&GET_RANGES, self.long(), 0, get).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.stream(&DELETE, self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stream(&LIST, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stream(&LIST, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = Repeatable(|| self.inner.list_with_delimiter(prefix));
        self.backend.call_within(&LIST, self.long(), 0, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let replaces = matches!(options.mode, CopyMode::Overwrite);
        let options = &options;
        let copy = || self.inner.copy_opts(from, to, options.clone());
        match replaces {
            true => self.backend.call_within(&COPY, self.long(), 0, Repeatable(copy)).await,
            false => self.backend.call_within(&COPY, self.long(), 0, Once(copy)).await,
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = Once(|| self.inner.rename_opts(from, to, options));
        self.backend.call_within(&RENAME, self.long(), 0, rename).await
    }
}

/// An upload in parts, guarded.
#[derive(Debug)]
struct GuardedUpload {
    inner: Box<dyn MultipartUpload>,
    backend: Arc<Backend>,
}

#[async_trait]
impl MultipartUpload for GuardedUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let (limit, backend) = (by_size(&self.backend, &payload), self.backend.clone());
        let part = self.inner.put_part(payload);
        Box::pin(async move { backend.call_within(&PUT_PART, limit, 0, Once(|| part)).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let limit = self.backend.timeout * WHOLE_OBJECT;
        let completing = self.inner.complete();
        self.backend.call_within(&COMPLETE_UPLOAD, limit, 0, Once(|| completing)).await
    }

    async fn abort(&mut self) -> Result<()> {
        let aborting = self.inner.abort();
        self.backend.call(&ABORT_UPLOAD, Once(|| aborting)).await
    }
}
