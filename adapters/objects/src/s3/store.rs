//! An S3 bucket as an object store, whose copies may be of any length.

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use std::ops::Range;

/// S3 copies nothing longer in one request.
const COPY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Longer objects are read and written again in parts of this size.
const COPY_PART_BYTES: u64 = 16 * 1024 * 1024;

/// A bucket (`AmazonS3`, which leaves it to its user that one copy request has a limit).
#[derive(Debug)]
pub(crate) struct S3Store<T> {
    bucket: T,
    copy_bytes_max: u64,
    copy_part_bytes: u64,
}

impl<T: ObjectStore> S3Store<T> {
    pub(crate) fn new(bucket: T) -> Self {
        Self { bucket, copy_bytes_max: COPY_BYTES_MAX, copy_part_bytes: COPY_PART_BYTES }
    }

    /// Copies part by part, through this process.
    async fn copy_parts(&self, from: &Path, to: &Path, source: &ObjectMeta) -> Result<()> {
        let mut upload = self.bucket.put_multipart(to).await?;
        let copied = async {
            let mut start = 0;
            while start < source.size {
                let end = source.size.min(start + self.copy_part_bytes);
                upload.put_part(self.part(from, source, start..end).await?).await?;
                start = end;
            }
            upload.complete().await
        };
        let copied = copied.await;
        if copied.is_err() {
            let _ = upload.abort().await;
        }
        copied.map(|_| ())
    }

    async fn part(
        &self,
        from: &Path,
        source: &ObjectMeta,
        range: Range<u64>,
    ) -> Result<PutPayload> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            // All parts are of one and the same object.
            if_match: source.e_tag.clone(),
            ..Default::default()
        };
        let parts = self.bucket.get_opts(from, options).await?.into_stream();
        Ok(parts.try_collect::<Vec<_>>().await?.into_iter().collect())
    }
}

impl<T: ObjectStore> std::fmt::Display for S3Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.bucket)
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for S3Store<T> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.bucket.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.bucket.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.bucket.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.bucket.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.bucket.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if matches!(options.mode, CopyMode::Overwrite) {
            let source = self.bucket.head(from).await?;
            if source.size > self.copy_bytes_max {
                return self.copy_parts(from, to, &source).await;
            }
        }
        self.bucket.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn what_is_too_long_for_one_request_is_copied_in_parts() {
        let store =
            S3Store { copy_bytes_max: 10, copy_part_bytes: 4, ..S3Store::new(InMemory::new()) };
        let (from, to) = (Path::from("quarantine/a"), Path::from("blobs/b"));
        for length in [0u8, 10, 11, 12, 13, 100] {
            let bytes: Vec<u8> = (0..length).collect();
            store.put(&from, bytes.clone().into()).await.unwrap();
            store.rename(&from, &to).await.unwrap();
            assert_eq!(store.get(&to).await.unwrap().bytes().await.unwrap(), bytes);
            assert!(store.head(&from).await.is_err(), "it is still there");
        }
    }
}
