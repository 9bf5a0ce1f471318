//! Links that a store signs itself, as a client without a key uses them.

use super::{Claims, Store, content, expect_all_in_place, expect_empty, expect_fault, keys};
use crate::samples::merchant;
use crate::suite::{Suite, cases};
use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use printmill_backend::Blobs;
use printmill_backend::error::Fault;
use printmill_backend::links::{Presentation, SignedRequest};
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::MerchantId;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// A life that does not end during a case.
const LONG: Duration = Duration::from_secs(300);
/// The shortest life of a link.
const SHORT: Duration = Duration::from_secs(1);
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
const UPLOAD: &str = "an-upload";

pub(super) fn cases(suite: &mut Suite<Blobs>, claims: &Claims) {
    cases!(suite, "links", if claims.signs, [
        a_download_gives_the_blob,
        a_download_gives_a_range,
        an_upload_counts_for_nothing_before_it_is_received,
        what_was_received_cannot_be_changed,
        a_large_upload_is_received,
        nothing_uploaded_is_not_found,
        an_upload_beyond_the_limit_is_removed,
    ]);
    cases!(suite, "links", if claims.checks_signatures, [
        an_upload_of_another_length_is_refused,
        an_upload_of_other_bytes_is_not_taken_for_the_announced,
        a_link_is_for_one_method_and_one_object,
        a_link_expires,
    ]);
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

/// Sends a request as any HTTP client would, with these bytes.
async fn fetch(
    request: &SignedRequest,
    extra: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Answer> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let mut built = Request::builder().method(request.method).uri(&request.url);
    let signed = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in signed.filter(|(name, _)| *name != "content-length") {
        built = built.header(name, value);
    }
    for (name, value) in extra {
        built = built.header(*name, *value);
    }
    built = built.header(header::CONTENT_LENGTH, body.len());
    let answer = client.request(built.body(Full::new(body))?);
    let answer = tokio::time::timeout(PATIENCE, answer).await.context("no answer")??;
    let (parts, body) = answer.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.context("no body")??;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}

fn presentation() -> Presentation {
    Presentation {
        disposition: "attachment; filename=\"a book & more.pdf\"".into(),
        media_type: "application/pdf".into(),
    }
}

async fn download(
    blobs: &Blobs,
    merchant: MerchantId,
    blob: &BlobRef,
    life: Duration,
) -> anyhow::Result<SignedRequest> {
    let request = blobs.download_request(merchant, &blob.sha256, &presentation(), life).await?;
    request.context("the store signs no links")
}

async fn upload(
    blobs: &Blobs,
    merchant: MerchantId,
    bytes: &Bytes,
) -> anyhow::Result<SignedRequest> {
    let announced = announced(bytes);
    let request = blobs.upload_request(merchant, UPLOAD, &announced, LONG).await?;
    request.context("the store signs no links")
}

fn announced(bytes: &Bytes) -> BlobRef {
    BlobRef { sha256: hex::encode(Sha256::digest(bytes)), size: bytes.len() as u64 }
}

async fn a_download_gives_the_blob(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(100_000)).await?;
    let request = download(&blobs, merchant, &stored, LONG).await?;
    let answer = fetch(&request, &[], Bytes::new()).await?;
    ensure!(answer.status == StatusCode::OK, "{}", answer.status);
    ensure!(answer.body == content(100_000), "{} other bytes", answer.body.len());
    let told = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let expected = presentation();
    let kind = told(header::CONTENT_TYPE);
    ensure!(kind == Some(&expected.media_type), "it is {kind:?}");
    let disposition = told(header::CONTENT_DISPOSITION);
    ensure!(disposition == Some(&expected.disposition), "it is {disposition:?}");
    Ok(())
}

async fn a_download_gives_a_range(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(100_000)).await?;
    let request = download(&blobs, merchant, &stored, LONG).await?;
    let answer = fetch(&request, &[("range", "bytes=4000-69999")], Bytes::new()).await?;
    ensure!(answer.status == StatusCode::PARTIAL_CONTENT, "{}", answer.status);
    ensure!(answer.body == content(100_000)[4000..70_000], "{} other bytes", answer.body.len());
    Ok(())
}

async fn an_upload_counts_for_nothing_before_it_is_received(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(100_000));
    let request = upload(&blobs, merchant, &bytes).await?;
    let answer = fetch(&request, &[], bytes.clone()).await?;
    ensure!(answer.status.is_success(), "{}: {:?}", answer.status, answer.body);
    let expected = announced(&bytes);
    ensure!(blobs.size(merchant, &expected.sha256).await?.is_none(), "it can be found already");
    let received = blobs.receive(merchant, UPLOAD, u64::MAX).await?;
    ensure!(received == expected, "{received:?} instead of {expected:?}");
    ensure!(blobs.read(merchant, &received).await? == bytes, "other bytes came back");
    expect_all_in_place(&blobs).await
}

/// The link may still be good when the upload was received.
async fn what_was_received_cannot_be_changed(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(1000));
    let request = upload(&blobs, merchant, &bytes).await?;
    fetch(&request, &[], bytes.clone()).await?;
    let received = blobs.receive(merchant, UPLOAD, u64::MAX).await?;
    fetch(&request, &[], bytes.clone()).await?;
    let keys = keys(&blobs).await?;
    let key = Blobs::key(merchant, &received.sha256);
    ensure!(keys.contains(&key) && keys.len() == 2, "{keys:?}");
    ensure!(blobs.receive(merchant, UPLOAD, u64::MAX).await? == received, "it is another");
    ensure!(blobs.read(merchant, &received).await? == bytes, "other bytes came back");
    expect_all_in_place(&blobs).await
}

async fn a_large_upload_is_received(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(12_345_678));
    let request = upload(&blobs, merchant, &bytes).await?;
    fetch(&request, &[], bytes.clone()).await?;
    let received = blobs.receive(merchant, UPLOAD, bytes.len() as u64).await?;
    ensure!(received == announced(&bytes), "{received:?}");
    ensure!(blobs.read(merchant, &received).await? == bytes, "other bytes came back");
    Ok(())
}

async fn nothing_uploaded_is_not_found(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    upload(&blobs, merchant, &content(1000)).await?;
    expect_fault(blobs.receive(merchant, UPLOAD, u64::MAX).await, Fault::NotFound)?;
    expect_empty(&blobs).await
}

async fn an_upload_beyond_the_limit_is_removed(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(1000));
    let request = upload(&blobs, merchant, &bytes).await?;
    fetch(&request, &[], bytes).await?;
    expect_fault(blobs.receive(merchant, UPLOAD, 999).await, Fault::Rejected)?;
    expect_empty(&blobs).await
}

async fn an_upload_of_another_length_is_refused(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(1000));
    let request = upload(&blobs, merchant, &bytes).await?;
    for length in [0, 999, 1001, 100_000] {
        let answer = fetch(&request, &[], content(length)).await?;
        ensure!(answer.status.is_client_error(), "{length} bytes: {}", answer.status);
        expect_empty(&blobs).await?;
    }
    Ok(())
}

/// Not every store compares hashes on arrival; what is received is hashed in any case.
async fn an_upload_of_other_bytes_is_not_taken_for_the_announced(
    subject: Store,
) -> anyhow::Result<()> {
    let (blobs, merchant, bytes) = (subject.handle()?, merchant(), content(1000));
    let request = upload(&blobs, merchant, &bytes).await?;
    let answer = fetch(&request, &[], Bytes::from(vec![0; 1000])).await?;
    if answer.status.is_success() {
        let received = blobs.receive(merchant, UPLOAD, u64::MAX).await?;
        ensure!(received != announced(&bytes), "it is taken for {received:?}");
    }
    let announced = announced(&bytes);
    ensure!(blobs.size(merchant, &announced.sha256).await?.is_none(), "it can be found");
    Ok(())
}

async fn a_link_is_for_one_method_and_one_object(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let one = blobs.put(merchant, content(1000)).await?;
    let other = blobs.put(merchant, content(2000)).await?;
    let request = download(&blobs, merchant, &one, LONG).await?;
    let method = Method::PUT.to_string();
    ensure!(request.method != method, "it is for {}", request.method);
    let put = SignedRequest { method: "PUT", ..request.clone() };
    let answer = fetch(&put, &[], content(10)).await?;
    ensure!(answer.status.is_client_error(), "PUT: {}", answer.status);
    let url = request.url.replace(&one.sha256, &other.sha256);
    let answer = fetch(&SignedRequest { url, ..request }, &[], Bytes::new()).await?;
    ensure!(answer.status.is_client_error(), "another object: {}", answer.status);
    ensure!(blobs.read(merchant, &one).await? == content(1000), "the blob was changed");
    Ok(())
}

async fn a_link_expires(subject: Store) -> anyhow::Result<()> {
    let (blobs, merchant) = (subject.handle()?, merchant());
    let stored = blobs.put(merchant, content(1000)).await?;
    let request = download(&blobs, merchant, &stored, SHORT).await?;
    let began = Instant::now();
    loop {
        let answer = fetch(&request, &[], Bytes::new()).await?;
        if answer.status.is_client_error() {
            return Ok(());
        }
        ensure!(answer.status == StatusCode::OK, "{}", answer.status);
        ensure!(began.elapsed() < PATIENCE, "it is still good after {:?}", began.elapsed());
    }
}
