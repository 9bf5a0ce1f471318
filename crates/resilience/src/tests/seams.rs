//! The store and the queue, in paused time: what is repeated, how long is waited, what one costs another.

use super::scripted::{AWAY, Act, Script, TIMEOUT, away, metric};
use crate::{Limits, Resilience};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use printmill_adapter_memory::{MemoryDatabase, MemoryQueue};
use printmill_backend::blobs::BlobsCaps;
use printmill_backend::queue::{
    Delivery, Message, Queue, QueueCaps, QueueStats, Receipt, SettleError,
};
use printmill_backend::{BackendError, Blobs, Fault};
use printmill_domain::ids::MerchantId;
use printmill_domain::lane::Lane;
use prometheus::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const LIMITS: Limits = Limits { timeout: TIMEOUT, at_once: 2 };
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn resilience() -> (Registry, Resilience) {
    let registry = Registry::new();
    let resilience = Resilience::register(&registry).unwrap();
    (registry, resilience)
}

/// A store that does as it is told before each call.
#[derive(Debug)]
struct Store {
    inner: InMemory,
    script: Arc<Script>,
    /// How long each part of what is read takes.
    pace: Duration,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scripted")
    }
}

impl Store {
    fn guarded(act: Act, pace: Duration) -> (Arc<Script>, Arc<dyn ObjectStore>, Blobs) {
        let script = Arc::new(Script::always(act));
        let store = Store { inner: InMemory::new(), script: script.clone(), pace };
        let caps = BlobsCaps { name: "scripted", local: false, part_bytes: 1024, atomic_put: true };
        let blobs = resilience().1.blobs(Blobs::new(Arc::new(store), caps), LIMITS);
        (script, blobs.store().clone(), blobs)
    }

    async fn act(&self) -> Result<()> {
        let generic = |error| object_store::Error::Generic { store: "scripted", source: error };
        self.script.ask().await.map_err(|_| generic("connection reset".into()))
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.act().await?;
        self.inner.put_opts(to, bytes, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.act().await?;
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.act().await?;
        let found = self.inner.get_opts(from, how).await?;
        let GetResult { range, meta, attributes, .. } = &found;
        let (range, meta, attributes) = (range.clone(), meta.clone(), attributes.clone());
        let bytes = found.bytes().await?;
        let pace = self.pace;
        let parts = stream::iter(bytes).then(move |byte| async move {
            tokio::time::sleep(pace).await;
            Ok(Bytes::from(vec![byte]))
        });
        Ok(GetResult { payload: GetResultPayload::Stream(parts.boxed()), meta, range, attributes })
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (script, rest) = (self.script.clone(), self.inner.list(prefix));
        stream::once(async move { script.ask().await.map(|()| rest).ok() })
            .filter_map(async |rest| rest)
            .flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.act().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.act().await?;
        self.inner.copy_opts(from, to, how).await
    }
}

fn place() -> Path {
    Path::from("a/b")
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_the_database_nothing() {
    let (registry, resilience) = resilience();
    let database = resilience.database(Arc::new(MemoryDatabase::new()), LIMITS);
    let store = Store {
        inner: InMemory::new(),
        script: Arc::new(Script::always(Act::Hang)),
        pace: Duration::ZERO,
    };
    let caps = BlobsCaps { name: "scripted", local: false, part_bytes: 1024, atomic_put: true };
    let limits = Limits { at_once: 8, ..LIMITS };
    let blobs = resilience.blobs(Blobs::new(Arc::new(store), caps), limits);
    let merchant = MerchantId::PLATFORM;
    let begun = Instant::now();
    let uploads = (0..100).map(|n| {
        let blobs = blobs.clone();
        tokio::spawn(async move { blobs.put(merchant, Bytes::from(format!("{n}"))).await })
    });
    let uploads: Vec<_> = uploads.collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        database.head().await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for upload in uploads {
        let error = upload.await.unwrap().unwrap_err();
        assert!(error.retryable(), "{error}");
        assert_eq!(error.backend, "scripted");
    }
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(resilience.left_alone(), ["blobs"]);
    let ended = |outcome: &str| {
        metric(
            &registry,
            &format!(
                "printmill_backend_calls_total{{backend=\"blobs\",operation=\"put\",outcome=\"{outcome}\"}}"
            ),
        )
    };
    assert_eq!(ended("timed_out"), Some(8));
    // Sixty found the line full, and the others had waited for as long as it may take.
    assert_eq!(ended("shed").unwrap() + ended("circuit_open").unwrap_or_default(), 92);
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_guard_reach_who_asked_for_a_blob() {
    let (_, _, blobs) = Store::guarded(Act::Hang, Duration::ZERO);
    let error = blobs.size(MerchantId::PLATFORM, "ab").await.unwrap_err();
    assert_eq!(error.fault, Fault::Unavailable);
    assert_eq!(error.to_string(), "scripted failed to find a blob: it did not answer within 10 s");
}

#[tokio::test(start_paused = true)]
async fn what_replaces_or_reads_is_repeated_and_what_moves_is_not() {
    let attempts =
        async |call: &dyn Fn(Arc<dyn ObjectStore>) -> futures::future::BoxFuture<'static, bool>| {
            let (script, store, _) = Store::guarded(AWAY, Duration::ZERO);
            assert!(!call(store).await);
            script.begun()
        };
    let put = attempts(&|s| async move { s.put(&place(), "x".into()).await.is_ok() }.boxed()).await;
    let get = attempts(&|s| async move { s.get(&place()).await.is_ok() }.boxed()).await;
    let head = attempts(&|s| async move { s.head(&place()).await.is_ok() }.boxed()).await;
    let copy = attempts(&|s| async move { s.copy(&place(), &place()).await.is_ok() }.boxed()).await;
    assert_eq!((put, get, head, copy), (3, 3, 3, 3));
    let create = attempts(&|s| {
        async move { s.copy_if_not_exists(&place(), &place()).await.is_ok() }.boxed()
    });
    let rename = attempts(&|s| async move { s.rename(&place(), &place()).await.is_ok() }.boxed());
    let upload = attempts(&|s| async move { s.put_multipart(&place()).await.is_ok() }.boxed());
    assert_eq!((create.await, rename.await, upload.await), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_comes_slowly_but_comes_is_read_to_its_end() {
    let (_, store, _) = Store::guarded(Act::Answer, TIMEOUT - SECOND);
    store.put(&place(), "twelve bytes".into()).await.unwrap();
    let begun = Instant::now();
    let bytes = store.get(&place()).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, "twelve bytes");
    assert_eq!(begun.elapsed(), 12 * (TIMEOUT - SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_stands_still_on_its_way_fails() {
    let (_, store, _) = Store::guarded(Act::Answer, TIMEOUT + SECOND);
    store.put(&place(), "x".into()).await.unwrap();
    let found = store.get(&place()).await.unwrap();
    let begun = Instant::now();
    let error = found.bytes().await.unwrap_err();
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert!(error.to_string().contains("nothing came for 10 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_may_take_its_time() {
    let (_, store, _) = Store::guarded(Act::Answer, Duration::ZERO);
    store.put(&place(), "four".into()).await.unwrap();
    let mut parts = store.get(&place()).await.unwrap().into_stream();
    for _ in 0..4 {
        tokio::time::advance(10 * TIMEOUT).await;
        parts.next().await.unwrap().unwrap();
    }
    assert!(parts.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_may_take_longer_to_send() {
    let mebibyte = || PutPayload::from(vec![0; 1024 * 1024]);
    let (_, store, _) = Store::guarded(Act::After(TIMEOUT + 15 * SECOND), Duration::ZERO);
    store.put(&place(), mebibyte()).await.unwrap();
    let begun = Instant::now();
    let (_, store, _) = Store::guarded(Act::Hang, Duration::ZERO);
    store.put(&place(), mebibyte()).await.unwrap_err();
    assert_eq!(begun.elapsed(), TIMEOUT + 16 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_begin_fails() {
    let (_, store, _) = Store::guarded(Act::Hang, Duration::ZERO);
    let begun = Instant::now();
    let error = store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert!(error.to_string().contains("failed to list objects"), "{error}");
}

/// A queue that never answers as it should, and counts how often it was asked.
struct Away {
    caps: QueueCaps,
    asked: AtomicUsize,
    /// Messages of a send that fail, from the first.
    refuses: usize,
}

impl Away {
    fn guarded(refuses: usize) -> (Arc<Self>, Arc<dyn Queue>) {
        let caps = MemoryQueue::new().caps().clone();
        let away = Arc::new(Self { caps, asked: AtomicUsize::new(0), refuses });
        (away.clone(), resilience().1.queue(away, LIMITS))
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn away<T>(&self) -> Result<T, BackendError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(away(Fault::Unavailable))
    }
}

#[async_trait]
impl Queue for Away {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    async fn ensure(&self, _: &Lane) -> Result<(), BackendError> {
        self.away()
    }

    async fn send(&self, _: &Lane, messages: &[Message]) -> Vec<Result<(), BackendError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = |(n, _)| if n < self.refuses { Err(away(Fault::Unavailable)) } else { Ok(()) };
        messages.iter().enumerate().map(answer).collect()
    }

    async fn lease(
        &self,
        _: &Lane,
        _: u16,
        _: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BackendError> {
        tokio::time::sleep(wait).await;
        self.away()
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), SettleError> {
        Ok(self.away()?)
    }

    async fn ack(&self, _: &Receipt) -> Result<(), SettleError> {
        Ok(self.away()?)
    }

    async fn release(&self, _: &Receipt, _: Duration) -> Result<(), SettleError> {
        Ok(self.away()?)
    }

    async fn stats(&self, _: &Lane) -> Result<QueueStats, BackendError> {
        self.away()
    }
}

fn messages(count: u32) -> Vec<Message> {
    let now = printmill_domain::Timestamp::default();
    let fresh = |_| Message {
        ticket: printmill_backend::fresh::id(now),
        trace: None,
        delay: Duration::ZERO,
    };
    (0..count).map(fresh).collect()
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_asked_again_but_for_leases() {
    let lane = Lane::express();
    let receipt = Receipt { lane: lane.clone(), handle: "x".into() };
    let (away, queue) = Away::guarded(0);
    queue.ack(&receipt).await.unwrap_err();
    assert_eq!(away.asked(), 3);
    let (away, queue) = Away::guarded(0);
    queue.release(&receipt, SECOND).await.unwrap_err();
    assert_eq!(away.asked(), 3);
    let (away, queue) = Away::guarded(0);
    queue.lease(&lane, 1, SECOND, SECOND).await.unwrap_err();
    assert_eq!(away.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_are_sent_again_only_if_all_of_them_failed() {
    let (away, queue) = Away::guarded(3);
    let answers = queue.send(&Lane::express(), &messages(3)).await;
    assert_eq!((answers.len(), away.asked()), (3, 3));
    for answer in answers {
        assert_eq!(answer.unwrap_err().detail, "the oracle is away");
    }
    let answers = queue.send(&Lane::express(), &messages(4)).await;
    let failed: Vec<bool> = answers.iter().map(|answer| answer.is_err()).collect();
    assert_eq!(failed, [true, true, true, false]);
    assert_eq!(away.asked(), 1);
    assert!(queue.send(&Lane::express(), &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_waits_as_long_as_it_is_told() {
    let queue = resilience().1.queue(Arc::new(MemoryQueue::new()), LIMITS);
    let begun = Instant::now();
    let delivered = queue.lease(&Lane::express(), 1, SECOND, 6 * TIMEOUT).await.unwrap();
    assert!(delivered.is_empty());
    assert_eq!(begun.elapsed(), 6 * TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_only_tried_is_not_waited_for() {
    let (away, queue) = Away::guarded(0);
    let lane = Lane::express();
    for _ in 0..5 {
        queue.lease(&lane, 1, SECOND, Duration::ZERO).await.unwrap_err();
    }
    tokio::time::advance(SECOND).await;
    away.asked();
    let begun = Instant::now();
    queue.lease(&lane, 1, SECOND, TIMEOUT).await.unwrap_err();
    assert_eq!((away.asked(), begun.elapsed()), (1, Duration::ZERO));
}
