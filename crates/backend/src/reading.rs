//! Stored bytes on their way out: asked for slice by slice, and again where they broke off.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, Result};
use std::ops::Range;
use std::sync::Arc;

/// How much is asked for at once: a slow reader holds no request open for long, as stores and
/// what lies between cut long ones off.
pub(crate) const SLICE_BYTES: u64 = 8 * 1024 * 1024;

/// A range of an object that is being read.
pub(crate) struct Reading {
    store: Arc<dyn ObjectStore>,
    key: Path,
    /// What is still to come.
    range: Range<u64>,
    /// Where the present slice ends.
    slice_end: u64,
    slice_bytes: u64,
    parts: BoxStream<'static, Result<Bytes>>,
    /// Whether the present request has given anything.
    progressed: bool,
}

impl Reading {
    /// Asks for the first slice; also answers how long the object is.
    pub(crate) async fn begin(
        store: Arc<dyn ObjectStore>,
        key: Path,
        range: Range<u64>,
        slice_bytes: u64,
    ) -> Result<(Self, u64)> {
        let slice_end = range.end.min(range.start.saturating_add(slice_bytes));
        let (parts, size) = ask(&store, &key, range.start..slice_end).await?;
        let progressed = false;
        Ok((Self { store, key, range, slice_end, slice_bytes, parts, progressed }, size))
    }

    /// The bytes, as they come.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        futures::stream::try_unfold(self, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        })
        .into_stream()
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.range.start < self.range.end {
            let error = match self.parts.next().await {
                Some(Ok(bytes)) => {
                    self.range.start += bytes.len() as u64;
                    self.progressed = true;
                    return Ok(Some(bytes));
                }
                None if self.range.start >= self.slice_end => None,
                None => Some(ended_early(&self.key)),
                Some(Err(error)) => Some(error),
            };
            match error {
                Some(error) if !self.progressed => return Err(error),
                _ => self.go_on().await?,
            }
        }
        Ok(None)
    }

    async fn go_on(&mut self) -> Result<()> {
        let from = self.range.start;
        self.slice_end = self.range.end.min(from.saturating_add(self.slice_bytes));
        self.parts = ask(&self.store, &self.key, from..self.slice_end).await?.0;
        self.progressed = false;
        Ok(())
    }
}

async fn ask(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
    range: Range<u64>,
) -> Result<(BoxStream<'static, Result<Bytes>>, u64)> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..Default::default() };
    let found = store.get_opts(key, options).await?;
    let size = found.meta.size;
    Ok((found.into_stream(), size))
}

fn ended_early(key: &Path) -> Error {
    Error::Generic { store: "blobs", source: format!("{key} ended too early").into() }
}
