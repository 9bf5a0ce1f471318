//! Uploads: bytes behind signed links, streamed into the store, then given to their asset.

use crate::convert;
use crate::errors;
use crate::options::WORK_FILE_BYTES_MAX;
use crate::router::App;
use crate::services::Edge;
use crate::trace::Trace;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Request, Response, header};
use printmill_domain::asset::{ASSET_BYTES_MAX, BlobRef, too_large};
use printmill_domain::ids::{AssetId, Id, MerchantId};
use printmill_domain::problem::{Code, Problem};
use printmill_engine::command::Context;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// `PUT /v1/uploads/{merchant}/{asset}`.
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    Path((merchant, asset)): Path<(String, String)>,
    Extension(trace): Extension<Trace>,
    request: Request<Body>,
) -> Response<Body> {
    let answer = store(&app, &merchant, &asset, &trace, request).await;
    answer.unwrap_or_else(|problem| errors::response(&problem, &trace.own))
}

async fn store(
    app: &App,
    merchant: &str,
    asset: &str,
    trace: &Trace,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let edge = &app.edge;
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let link = edge.links.check_upload(path, query, edge.services.clock.now())?;
    let gone = || Problem::not_found("asset", asset);
    let merchant = MerchantId::parse(merchant).map_err(|_| gone())?;
    let asset = AssetId::parse(asset).map_err(|_| gone())?;
    edge.services.assets.get(merchant, &asset).await?;
    let limit = Limit { announced: link.size, most: ASSET_BYTES_MAX };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length {
        check_size(length, limit)?;
        if link.size.is_some_and(|size| size != length) {
            return Err(other_size());
        }
    }
    let _place = place(edge, length)?;
    let blob = receive(app, merchant, request.into_body(), limit).await?;
    let context = Context { trace: Some(trace.own.clone()), ..Context::of(merchant) };
    let received = edge.services.assets.receive_traced(&context, &asset, blob).await?;
    let received = convert::assets::asset(&received);
    let json = app.rest.json("printmill.v1.Asset", &received)?;
    let mut response = Response::new(Body::from(json));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// `PUT /v1/workUploads/{merchant}/{ticket}`: a file that work on a ticket made. Answers its name.
pub(crate) async fn upload_work(
    State(app): State<Arc<App>>,
    Path((merchant, _)): Path<(String, String)>,
    Extension(trace): Extension<Trace>,
    request: Request<Body>,
) -> Response<Body> {
    let answer = store_work(&app, &merchant, request).await;
    answer.unwrap_or_else(|problem| errors::response(&problem, &trace.own))
}

async fn store_work(
    app: &App,
    merchant: &str,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let edge = &app.edge;
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let link = edge.links.check_upload(path, query, edge.services.clock.now())?;
    let merchant =
        MerchantId::parse(merchant).map_err(|_| Problem::not_found("merchant", merchant))?;
    let size = link.size.ok_or_else(other_size)?;
    let _place = place(edge, Some(size))?;
    let limit = Limit { announced: Some(size), most: WORK_FILE_BYTES_MAX };
    let blob = receive(app, merchant, request.into_body(), limit).await?;
    if blob.size != size {
        return Err(other_size());
    }
    let json = serde_json::json!({ "sha256": blob.sha256, "size": blob.size });
    let mut response = Response::new(Body::from(json.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// What is under way to an upload besides its parts, in bytes.
const UNDER_WAY: u64 = 128 * 1024;

/// A place among the uploads, and the memory that one of this length may take.
fn place(
    edge: &Edge,
    length: Option<u64>,
) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Problem> {
    let parts = 2 * edge.services.blobs.caps().part_bytes as u64;
    let bytes = UNDER_WAY + length.map_or(parts, |length| length.min(parts));
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let place = edge.uploads.clone().try_acquire_owned().map_err(|_| errors::busy())?;
    let memory = edge.upload_kib.clone().try_acquire_many_owned(kib);
    Ok((place, memory.map_err(|_| errors::busy())?))
}

/// How many bytes may arrive.
#[derive(Debug, Clone, Copy)]
struct Limit {
    announced: Option<u64>,
    most: u64,
}

async fn receive(
    app: &App,
    merchant: MerchantId,
    body: Body,
    limit: Limit,
) -> Result<BlobRef, Problem> {
    let refusal = Arc::new(Mutex::new(None));
    let stream = Box::pin(watched(body, limit, app.idle_timeout, refusal.clone()));
    let stored = app.edge.services.blobs.put_stream(merchant, stream, limit.most).await;
    let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (stored, refusal) {
        (_, Some(problem)) => Err(problem),
        (Ok(blob), None) => Ok(blob),
        (Err(error), None) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "upload was not stored");
            Err(error.into())
        }
    }
}

/// Why the rest of an upload is not read; what the client is told stands aside.
#[derive(Debug, thiserror::Error)]
#[error("the upload was refused")]
struct Refused;

/// The body's bytes, until it is too long or stands still.
fn watched(
    body: Body,
    limit: Limit,
    idle: Duration,
    refusal: Arc<Mutex<Option<Problem>>>,
) -> impl Stream<Item = Result<Bytes, Refused>> + Send {
    let parts = body.into_data_stream();
    futures::stream::unfold((parts, 0u64), move |(mut parts, seen)| {
        let refusal = refusal.clone();
        async move {
            let next = match tokio::time::timeout(idle, parts.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(part))) => {
                    let seen = seen + part.len() as u64;
                    check_size(seen, limit).map(|()| (part, seen))
                }
                Ok(Some(Err(_))) | Err(_) => Err(broke_off()),
            };
            match next {
                Ok((part, seen)) => Some((Ok(part), (parts, seen))),
                Err(problem) => {
                    *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
                    Some((Err(Refused), (parts, seen)))
                }
            }
        }
    })
}

fn check_size(size: u64, limit: Limit) -> Result<(), Problem> {
    if size > limit.most {
        return Err(too_large());
    }
    if limit.announced.is_some_and(|announced| size > announced) {
        return Err(other_size());
    }
    Ok(())
}

fn other_size() -> Problem {
    Problem::new(
        Code::ChecksumMismatch,
        "the bytes sent are not as many as were announced",
        "upload the file again; if it changed meanwhile, create a new asset",
    )
}

fn broke_off() -> Problem {
    Problem::new(
        Code::Cancelled,
        "the upload broke off",
        "send the whole file again to the same address, or ask for a new one",
    )
}
