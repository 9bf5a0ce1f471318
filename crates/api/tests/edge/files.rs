//! Uploads and downloads by signed links.

use crate::wire::Answer;
use crate::world::{PICTURE, World};
use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use object_store::path::Path;
use printmill_backend::BackendError;
use printmill_backend::links::{LinkSigner, Presentation, SignedRequest};
use printmill_domain::asset::BlobRef;
use printmill_domain::problem::Code;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

async fn announce(world: &World, body: Value) -> (String, String) {
    let created = world.wire.post("/v1/assets", world.key_of(0), body).await.json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{created}")).to_owned();
    (text(&created["asset"]["id"]), text(&created["upload"]["url"]))
}

async fn state(world: &World, asset: &str) -> Value {
    let path = format!("/v1/assets/{asset}");
    world.wire.get(&path, world.key_of(0)).await.json()["state"].clone()
}

async fn download_link(world: &World, asset: &str) -> Value {
    let path = format!("/v1/assets/{asset}/link");
    world.wire.get(&path, world.key_of(0)).await.json()
}

#[tokio::test]
async fn an_upload_answers_the_asset_and_may_be_repeated() {
    let world = World::new().await;
    let sha256 = hex::encode(Sha256::digest(PICTURE));
    let body = json!({ "fileName": "a.jpg", "sha256": sha256, "size": PICTURE.len().to_string() });
    let (asset, url) = announce(&world, body).await;
    for _ in 0..2 {
        let answer = world.wire.put(&url, PICTURE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!((&answer["id"], &answer["sha256"]), (&json!(asset), &json!(sha256)));
        assert_eq!(answer["state"], "ASSET_STATE_UPLOADED");
    }
    let other = world.wire.put(&url, b"other").await;
    assert_eq!(other.code(), Code::ChecksumMismatch);
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_the_asset_still_waits() {
    let world = World::new().await;
    let sha256 = hex::encode(Sha256::digest(PICTURE));
    let body = json!({ "fileName": "a.jpg", "sha256": sha256, "size": PICTURE.len() });
    let (asset, url) = announce(&world, body).await;
    let mut wrong = PICTURE.to_vec();
    wrong[5] ^= 1;
    for bytes in [wrong, PICTURE[1..].to_vec(), [PICTURE, b"x"].concat(), vec![]] {
        let request = Request::put(&url).body(Full::from(bytes)).unwrap();
        let answer = world.wire.send(request).await;
        assert_eq!((answer.code(), answer.status), (Code::ChecksumMismatch, 400));
    }
    assert_eq!(state(&world, &asset).await, "ASSET_STATE_AWAITING_UPLOAD");
}

/// A body that arrives without its length being known before.
async fn put_chunked(world: &World, url: &str, chunks: usize) -> Answer {
    let chunk = Bytes::from(vec![0; 1024 * 1024]);
    let parts =
        (0..chunks).map(move |_| Ok::<_, std::io::Error>(http_body::Frame::data(chunk.clone())));
    let body = http_body_util::StreamBody::new(futures::stream::iter(parts));
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let response = client.request(Request::put(url).body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let _ = world;
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

#[tokio::test]
async fn too_large_a_file_is_refused_whether_its_length_is_told_or_not() {
    let world = World::new().await;
    let (asset, url) = announce(&world, json!({ "fileName": "a.jpg" })).await;
    let answer = put_chunked(&world, &url, 65).await;
    assert_eq!((answer.code(), answer.status), (Code::AssetTooLarge, 413));
    let sized = json!({
        "fileName": "a.jpg", "sha256": "ab".repeat(32), "size": 65 * 1024 * 1024,
    });
    let answer = world.wire.post("/v1/assets", world.key_of(0), sized).await;
    assert_eq!((answer.code(), answer.status), (Code::AssetTooLarge, 413));
    assert_eq!(state(&world, &asset).await, "ASSET_STATE_AWAITING_UPLOAD");
    assert_eq!(put_chunked(&world, &url, 3).await.status, 200);
}

#[tokio::test]
async fn links_end_and_cannot_be_changed() {
    let world = World::new().await;
    let (_, url) = announce(&world, json!({ "fileName": "a.jpg" })).await;
    let (_, other) = announce(&world, json!({ "fileName": "b.jpg" })).await;
    let signature = |url: &str| url.rsplit_once("signature=").unwrap().1.to_owned();
    let forged = url.replace(&signature(&url), &signature(&other));
    assert_eq!(world.wire.put(&forged, PICTURE).await.code(), Code::LinkInvalid);
    let longer = url.replace("expires=", "expires=9");
    assert_eq!(world.wire.put(&longer, PICTURE).await.code(), Code::LinkInvalid);
    world.clock.advance(Duration::from_secs(16 * 60));
    let late = world.wire.put(&url, PICTURE).await;
    assert_eq!((late.code(), late.status), (Code::LinkExpired, 403));
}

#[tokio::test]
async fn a_download_gives_the_file_with_its_name_type_and_checksum() {
    let world = World::new().await;
    let asset = world.asset(0).await;
    let link = download_link(&world, &asset).await;
    assert_eq!(link["method"], "GET");
    let url = link["url"].as_str().unwrap();
    let answer = world.wire.get(url, "").await;
    assert_eq!((answer.status, &answer.body[..]), (200, PICTURE));
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("cache-control").contains("immutable"));
    assert!(answer.header("content-disposition").contains("filename=\"a.jpg\""));
    let etag = format!("\"{}\"", link["sha256"].as_str().unwrap());
    assert_eq!(answer.header("etag"), etag);
    let cached = world.wire.get_with(url, "", &[("if-none-match", &etag)]).await;
    assert_eq!((cached.status, cached.body.len()), (304, 0));
    let head = Request::head(url).body(Full::default()).unwrap();
    let head = world.wire.send(head).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), PICTURE.len().to_string());
    let missing =
        download_link(&world, &announce(&world, json!({ "fileName": "b" })).await.0).await;
    assert_eq!(missing["code"], "ASSET_NOT_READY");
}

#[tokio::test]
async fn ranges_of_a_file_are_given_or_refused() {
    let world = World::new().await;
    let asset = world.asset(0).await;
    let link = download_link(&world, &asset).await;
    let url = link["url"].as_str().unwrap();
    let size = PICTURE.len();
    for (range, start, end) in [("0-3", 0, 4), ("5-", 5, size), ("-4", size - 4, size)] {
        let range = format!("bytes={range}");
        let answer = world.wire.get_with(url, "", &[("range", &range)]).await;
        assert_eq!((answer.status, &answer.body[..]), (206, &PICTURE[start..end]), "{range}");
        let told = format!("bytes {start}-{}/{size}", end - 1);
        assert_eq!(answer.header("content-range"), told);
    }
    let beyond = format!("bytes={size}-");
    let answer = world.wire.get_with(url, "", &[("range", &beyond)]).await;
    assert_eq!((answer.code(), answer.status), (Code::RangeNotSatisfiable, 416));
    assert_eq!(answer.header("content-range"), format!("bytes */{size}"));
    let more = [("range", "bytes=0-3"), ("if-range", "\"other\"")];
    let answer = world.wire.get_with(url, "", &more).await;
    assert_eq!((answer.status, answer.body.len()), (200, size));
}

/// A store that signs whatever it is asked for.
struct Signing;

#[async_trait]
impl LinkSigner for Signing {
    async fn download(
        &self,
        key: &Path,
        presentation: &Presentation,
        _: Duration,
    ) -> Result<SignedRequest, BackendError> {
        let url = format!("http://store.test/{key}?as={}", presentation.media_type);
        Ok(SignedRequest { method: "GET", url, headers: vec![] })
    }

    async fn upload(
        &self,
        key: &Path,
        _: &BlobRef,
        _: Duration,
    ) -> Result<SignedRequest, BackendError> {
        let url = format!("http://store.test/{key}");
        Ok(SignedRequest { method: "PUT", url, headers: vec![] })
    }
}

#[tokio::test]
async fn a_store_that_signs_links_gives_the_bytes_itself() {
    let world = World::signing(Signing).await;
    let sha256 = hex::encode(Sha256::digest(PICTURE));
    let body = json!({ "fileName": "a.jpg", "sha256": sha256, "size": PICTURE.len().to_string() });
    let (asset, upload) = announce(&world, body).await;
    assert_eq!(world.wire.put(&upload, PICTURE).await.status, 200);
    let link = download_link(&world, &asset).await;
    let url = link["url"].as_str().unwrap();
    let answer = world.wire.get(url, "").await;
    assert_eq!((answer.status, answer.body.len()), (307, 0), "{answer:?}");
    let key = format!("http://store.test/blobs/{}/{sha256}", world.merchants[0].0);
    assert_eq!(answer.header("location"), format!("{key}?as=application/octet-stream"));
    assert_eq!(answer.header("cache-control"), "no-store");
    // Only a link that is good leads there.
    let changed = world.wire.get(&url.replace("expires=", "expires=9"), "").await;
    assert_eq!(changed.code(), Code::LinkInvalid);
    let head = world.wire.send(Request::head(url).body(Full::default()).unwrap()).await;
    assert_eq!(head.header("content-length"), PICTURE.len().to_string());
}
