//! The contract of stored bytes.

mod links;
mod outages;

use crate::samples::merchant;
use crate::subject::Subject;
use crate::suite::{Case, Suite, cases};
use anyhow::ensure;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use printmill_backend::Blobs;
use printmill_backend::error::{BackendError, Fault};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::MerchantId;
use std::io;
use tokio::sync::oneshot;

type Store = Subject<Blobs>;

/// Why most cases may run beside a deployment in use. The others are not safe because they move
/// many megabytes, may leave an unfinished upload behind, make the store fail, or need plain HTTP.
const SMALL: &str = "a few small files, in a place of its own that is emptied afterwards";

/// The cases of the contract of stored bytes.
#[cfg(feature = "trials")]
pub fn blobs_trials<F, Fut>(adapter: &str, factory: F) -> Vec<libtest_mimic::Trial>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: std::future::Future<Output = anyhow::Result<Store>> + Send + 'static,
{
    let stores = crate::trials::Stores::made_by(factory);
    let claims = stores.probe(Claims::ALL, Claims::of);
    stores.trials(adapter, "blobs", cases(&claims))
}

/// The cases of the contract of stored bytes, for this store.
pub fn blobs_cases(subject: &Store) -> anyhow::Result<Vec<Case<Blobs>>> {
    Ok(cases(&Claims::of(subject, &*subject.handle()?)))
}

fn cases(claims: &Claims) -> Vec<Case<Blobs>> {
    let mut suite = Suite::new();
    cases!(
        suite,
        "names",
        safe SMALL,
        [
            the_key_is_the_merchant_and_the_hash,
            the_same_bytes_are_stored_once,
            another_merchants_are_never_found,
        ]
    );
    cases!(
        suite,
        "whole",
        [
            bytes_come_back_as_they_were,
            parts_come_back_as_they_were,
            an_upload_that_is_dropped_cannot_be_found,
        ]
    );
    cases!(
        suite,
        "whole",
        safe SMALL,
        [
            nothing_stays_in_quarantine,
            a_stream_that_breaks_off_leaves_nothing,
            what_is_more_than_a_part_comes_back,
        ]
    );
    cases!(suite, "whole", safe SMALL, if claims.opens, [stored_bytes_are_there_after_reopening]);
    cases!(
        suite,
        "repeats",
        safe SMALL,
        [
            putting_again_answers_the_same,
            putting_at_the_same_time_answers_the_same,
            putting_again_mends_what_was_damaged,
        ]
    );
    cases!(suite, "limits", safe SMALL, [the_limit_itself_is_taken]);
    cases!(suite, "limits", [beyond_it_nothing_remains]);
    cases!(suite, "verified", safe SMALL, [other_bytes_are_corrupt, missing_ends_are_corrupt]);
    cases!(
        suite,
        "ranges",
        safe SMALL,
        [a_range_gives_its_bytes, beyond_the_end_is_rejected, an_empty_range_gives_nothing]
    );
    cases!(
        suite,
        "missing",
        safe SMALL,
        [what_was_never_stored_is_not_found, deleted_is_not_found]
    );
    cases!(suite, "probe", safe SMALL, [leaves_nothing]);
    links::cases(&mut suite, claims);
    outages::cases(&mut suite, claims);
    suite.finish()
}

/// What a store can do and its test offers.
struct Claims {
    opens: bool,
    signs: bool,
    checks_signatures: bool,
    disturbs: bool,
}

impl Claims {
    #[cfg(feature = "trials")]
    const ALL: Self = Self { opens: true, signs: true, checks_signatures: true, disturbs: true };

    fn of(subject: &Store, blobs: &Blobs) -> Self {
        Self {
            opens: subject.opens(),
            signs: blobs.signs(),
            checks_signatures: blobs.signs() && subject.checks_signatures(),
            disturbs: subject.disturbs(),
        }
    }
}

/// Bytes that differ from place to place.
fn content(length: usize) -> Bytes {
    (0..length).map(|place| (place * 31 + place / 251) as u8).collect()
}

/// Each key in the store.
async fn keys(blobs: &Blobs) -> anyhow::Result<Vec<Path>> {
    Ok(blobs.store().list(None).map_ok(|meta| meta.location).try_collect().await?)
}

async fn expect_empty(blobs: &Blobs) -> anyhow::Result<()> {
    let keys = keys(blobs).await?;
    ensure!(keys.is_empty(), "the store still has {keys:?}");
    Ok(())
}

fn expect_fault<T: std::fmt::Debug>(
    answer: Result<T, BackendError>,
    fault: Fault,
) -> anyhow::Result<()> {
    match answer {
        Err(error) if error.fault == fault => Ok(()),
        other => anyhow::bail!("expected {fault:?}, but got {other:?}"),
    }
}

async fn range(
    blobs: &Blobs,
    merchant: MerchantId,
    blob: &BlobRef,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, BackendError> {
    let parts: Vec<Bytes> =
        blobs.stream(merchant, &blob.sha256, range).await?.try_collect().await?;
    Ok(parts.concat())
}

async fn the_key_is_the_merchant_and_the_hash(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, Bytes::from_static(b"abc")).await?;
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    ensure!(stored == BlobRef { sha256: hash.into(), size: 3 }, "{stored:?}");
    let keys = keys(&blobs).await?;
    ensure!(keys == [Path::from(format!("blobs/{merchant}/{hash}"))], "{keys:?}");
    Ok(())
}

async fn the_same_bytes_are_stored_once(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    for _ in 0..3 {
        blobs.put(merchant, content(1000)).await?;
    }
    let keys = keys(&blobs).await?;
    ensure!(keys.len() == 1, "{keys:?}");
    Ok(())
}

async fn another_merchants_are_never_found(subject: Store) -> anyhow::Result<()> {
    let (blobs, owner, other) = (subject.handle()?, merchant(), merchant());
    let stored = blobs.put(owner, content(1000)).await?;
    expect_fault(blobs.read(other, &stored).await, Fault::NotFound)?;
    expect_fault(range(&blobs, other, &stored, 0..10).await, Fault::NotFound)?;
    ensure!(blobs.size(other, &stored.sha256).await?.is_none(), "its size is found");
    blobs.delete(other, &stored.sha256).await?;
    ensure!(blobs.read(owner, &stored).await? == content(1000), "the owner's are gone");
    Ok(())
}

/// Nothing, a little, and more than the parts in which stores take bytes.
async fn bytes_come_back_as_they_were(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    for (length, chunk) in [(0, 1), (1, 1), (70_000, 4_096), (12_345_678, 1_000_003)] {
        let bytes = content(length);
        let chunks: Vec<_> =
            bytes.chunks(chunk).map(|part| Ok::<_, io::Error>(bytes.slice_ref(part))).collect();
        let stream = futures::stream::iter(chunks);
        let stored = blobs.put_stream(merchant, stream, u64::MAX).await?;
        ensure!(stored.size == length as u64, "{} bytes were stored", stored.size);
        ensure!(blobs.read(merchant, &stored).await? == bytes, "{length} bytes came back wrong");
        let size = blobs.size(merchant, &stored.sha256).await?;
        ensure!(size == Some(length as u64), "the size is {size:?}");
    }
    Ok(())
}

/// Lengths around the size of a part, where one more or one fewer is sent.
async fn parts_come_back_as_they_were(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let part = blobs.caps().part_bytes;
    for length in [part - 1, part, part + 1, 2 * part, 3 * part + 1] {
        let bytes = content(length);
        let stored = blobs.put(merchant, bytes.clone()).await?;
        ensure!(blobs.read(merchant, &stored).await? == bytes, "{length} bytes came back wrong");
        let (from, to) = (length as u64 / 3, length as u64);
        let found = range(&blobs, merchant, &stored, from..to).await?;
        ensure!(found == bytes[from as usize..], "{from}..{to} gives {} other bytes", found.len());
    }
    expect_all_in_place(&blobs).await
}

/// Two parts, one of a single byte.
async fn what_is_more_than_a_part_comes_back(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let bytes = content(blobs.caps().part_bytes + 1);
    let stored = blobs.put(merchant, bytes.clone()).await?;
    ensure!(blobs.read(merchant, &stored).await? == bytes, "other bytes came back");
    expect_all_in_place(&blobs).await
}

async fn expect_all_in_place(blobs: &Blobs) -> anyhow::Result<()> {
    let keys = keys(blobs).await?;
    ensure!(keys.iter().all(|key| key.as_ref().starts_with("blobs/")), "{keys:?}");
    Ok(())
}

async fn nothing_stays_in_quarantine(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    for length in [10, 20, 10] {
        blobs.put(merchant, content(length)).await?;
    }
    let keys = keys(&blobs).await?;
    ensure!(keys.len() == 2, "{keys:?}");
    expect_all_in_place(&blobs).await
}

async fn a_stream_that_breaks_off_leaves_nothing(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    for length in [0, 1000, 6_000_000] {
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let stream = futures::stream::iter([Ok(content(length)), Err(broken)]);
        let answer = blobs.put_stream(merchant, stream, u64::MAX).await;
        expect_fault(answer, Fault::Unavailable)?;
        expect_empty(&blobs).await?;
    }
    Ok(())
}

async fn an_upload_that_is_dropped_cannot_be_found(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let (asked_again, arrived) = oneshot::channel();
    let begun = futures::stream::iter([Ok::<_, io::Error>(content(6_000_000))]);
    let endless = futures::stream::once(async move {
        let _ = asked_again.send(());
        std::future::pending().await
    });
    let mut upload = Box::pin(blobs.put_stream(merchant, begun.chain(endless).boxed(), u64::MAX));
    tokio::select! {
        answer = &mut upload => anyhow::bail!("the stream has no end, but {answer:?}"),
        arrived = arrived => arrived?,
    }
    drop(upload);
    expect_empty(&blobs).await
}

async fn stored_bytes_are_there_after_reopening(mut subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    drop(blobs);
    let blobs = subject.reopen().await?;
    ensure!(blobs.read(merchant, &stored).await? == content(1000), "other bytes came back");
    Ok(())
}

async fn putting_again_answers_the_same(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let first = blobs.put(merchant, content(1000)).await?;
    let again = blobs.put(merchant, content(1000)).await?;
    ensure!(first == again, "{first:?}, then {again:?}");
    ensure!(blobs.read(merchant, &first).await? == content(1000), "the bytes changed");
    Ok(())
}

async fn putting_at_the_same_time_answers_the_same(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let puts = (0..16).map(|_| blobs.put(merchant, content(100_000)));
    let answers = futures::future::try_join_all(puts).await?;
    ensure!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    ensure!(blobs.read(merchant, &answers[0]).await? == content(100_000), "not the bytes");
    let keys = keys(&blobs).await?;
    ensure!(keys.len() == 1, "{keys:?}");
    Ok(())
}

/// Writes other bytes to where a blob is.
async fn damage(
    blobs: &Blobs,
    merchant: MerchantId,
    blob: &BlobRef,
    bytes: Bytes,
) -> anyhow::Result<()> {
    let key = Blobs::key(merchant, &blob.sha256);
    blobs.store().put(&key, PutPayload::from_bytes(bytes)).await?;
    Ok(())
}

async fn putting_again_mends_what_was_damaged(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    damage(&blobs, merchant, &stored, Bytes::from(vec![0; 1000])).await?;
    blobs.put(merchant, content(1000)).await?;
    ensure!(blobs.read(merchant, &stored).await? == content(1000), "other bytes came back");
    Ok(())
}

fn halves(length: usize) -> impl futures::Stream<Item = io::Result<Bytes>> + Unpin + Send {
    let bytes = content(length);
    let half = length / 2;
    futures::stream::iter([Ok(bytes.slice(..half)), Ok(bytes.slice(half..))])
}

async fn the_limit_itself_is_taken(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put_stream(merchant, halves(1000), 1000).await?;
    ensure!(blobs.read(merchant, &stored).await? == content(1000), "other bytes came back");
    Ok(())
}

async fn beyond_it_nothing_remains(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    for length in [1000, 12_000_000] {
        let answer = blobs.put_stream(merchant, halves(length), length as u64 - 1).await;
        expect_fault(answer, Fault::Rejected)?;
        expect_empty(&blobs).await?;
    }
    Ok(())
}

async fn other_bytes_are_corrupt(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    let mut flipped = content(1000).to_vec();
    flipped[500] ^= 1;
    damage(&blobs, merchant, &stored, Bytes::from(flipped)).await?;
    expect_fault(blobs.read(merchant, &stored).await, Fault::Corrupt)
}

async fn missing_ends_are_corrupt(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    damage(&blobs, merchant, &stored, content(999)).await?;
    expect_fault(blobs.read(merchant, &stored).await, Fault::Corrupt)
}

async fn a_range_gives_its_bytes(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(100_000));
    let stored = blobs.put(merchant, bytes.clone()).await?;
    for (from, to) in [(0, 1), (0, 100_000), (99_999, 100_000), (4_000, 70_000)] {
        let found = range(&blobs, merchant, &stored, from..to).await?;
        let expected = &bytes[from as usize..to as usize];
        ensure!(found == expected, "{from}..{to} gives {} other bytes", found.len());
    }
    Ok(())
}

async fn beyond_the_end_is_rejected(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    for (from, to) in [(0, 1001), (1000, 1001), (5000, 6000), (0, u64::MAX)] {
        expect_fault(range(&blobs, merchant, &stored, from..to).await, Fault::Rejected)?;
    }
    Ok(())
}

async fn an_empty_range_gives_nothing(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, Bytes::new()).await?;
    let found = range(&blobs, merchant, &stored, 0..0).await?;
    ensure!(found.is_empty(), "{} bytes", found.len());
    Ok(())
}

async fn what_was_never_stored_is_not_found(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let nothing = BlobRef { sha256: "0".repeat(64), size: 10 };
    expect_fault(blobs.read(merchant, &nothing).await, Fault::NotFound)?;
    expect_fault(range(&blobs, merchant, &nothing, 0..10).await, Fault::NotFound)?;
    expect_fault(range(&blobs, merchant, &nothing, 0..0).await, Fault::NotFound)?;
    ensure!(blobs.size(merchant, &nothing.sha256).await?.is_none(), "it has a size");
    blobs.delete(merchant, &nothing.sha256).await?;
    Ok(())
}

async fn deleted_is_not_found(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, other) = (subject.handle()?, merchant(), merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    blobs.put(other, content(1000)).await?;
    blobs.delete(merchant, &stored.sha256).await?;
    expect_fault(blobs.read(merchant, &stored).await, Fault::NotFound)?;
    blobs.delete(merchant, &stored.sha256).await?;
    ensure!(blobs.read(other, &stored).await? == content(1000), "another merchant's are gone");
    blobs.put(merchant, content(1000)).await?;
    ensure!(blobs.read(merchant, &stored).await? == content(1000), "it cannot come back");
    Ok(())
}

async fn leaves_nothing(subject: Store) -> anyhow::Result<()> {
    let blobs = subject.handle()?;
    blobs.probe().await?;
    expect_empty(&blobs).await
}
