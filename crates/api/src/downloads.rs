//! Downloads: stored bytes behind signed links, whole or in part, never in memory as a whole.

use crate::errors;
use crate::links::Download;
use crate::router::App;
use crate::trace::Trace;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use printmill_backend::BackendError;
use printmill_backend::links::Presentation;
use printmill_domain::ids::{Id, MerchantId};
use printmill_domain::problem::{Code, Problem};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Parts that wait to be sent, of one download.
const PARTS_WAITING: usize = 4;
/// How long a link of the store works that a client is sent to at once.
const STORE_LINK_LIFE: Duration = Duration::from_secs(5 * 60);
/// The media types that are told to browsers; anything else is only bytes.
const TYPES: [&str; 3] = ["application/pdf", "image/jpeg", "image/png"];
/// What a file's name keeps in a header (RFC 8187).
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `GET` and `HEAD /v1/files/{merchant}/{sha256}`.
pub(crate) async fn download(
    State(app): State<Arc<App>>,
    Path((merchant, sha256)): Path<(String, String)>,
    Extension(trace): Extension<Trace>,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let answer = fetch(&app, &merchant, &sha256, &parts).await;
    answer.unwrap_or_else(|problem| errors::response(&problem, &trace.own))
}

async fn fetch(
    app: &App,
    merchant: &str,
    sha256: &str,
    request: &Parts,
) -> Result<Response<Body>, Problem> {
    let edge = &app.edge;
    let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
    let link = edge.links.check_download(path, query, edge.services.clock.now())?;
    let gone = || Problem::not_found("file", sha256);
    let merchant = MerchantId::parse(merchant).map_err(|_| gone())?;
    let size = edge.services.blobs.size(merchant, sha256).await?.ok_or_else(gone)?;
    let etag = format!("\"{sha256}\"");
    let asked = &request.headers;
    if lists(asked.get(header::IF_NONE_MATCH), &etag) {
        return Ok(head(StatusCode::NOT_MODIFIED, &link, &etag));
    }
    if request.method == Method::GET {
        let presentation = presentation(&link);
        let signed =
            edge.services.blobs.download_request(merchant, sha256, &presentation, STORE_LINK_LIFE);
        if let Some(signed) = signed.await? {
            return Ok(elsewhere(&signed.url));
        }
    }
    let whole =
        asked.get(header::IF_RANGE).is_some_and(|value| value.as_bytes() != etag.as_bytes());
    let range = if whole { Wanted::Whole } else { Wanted::read(asked, size) };
    let (mut response, range) = match range {
        Wanted::Whole => (head(StatusCode::OK, &link, &etag), 0..size),
        Wanted::Part(range) => {
            let mut response = head(StatusCode::PARTIAL_CONTENT, &link, &etag);
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            set(&mut response, header::CONTENT_RANGE, &text);
            (response, range)
        }
        Wanted::Outside => return Ok(outside(request, size)),
    };
    set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    if request.method != Method::HEAD {
        let place = edge.streams.clone().try_acquire_owned().map_err(|_| errors::busy())?;
        let parts = edge.services.blobs.stream(merchant, sha256, range).await?;
        *response.body_mut() = Body::from_stream(paced(parts, place, app.idle_timeout));
    }
    Ok(response)
}

/// Sends the client to the store, which has the bytes.
fn elsewhere(url: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    set(&mut response, header::LOCATION, url);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

fn outside(request: &Parts, size: u64) -> Response<Body> {
    let problem = Problem::new(
        Code::RangeNotSatisfiable,
        format!("the file has {size} bytes"),
        "ask for a range within the file",
    );
    let trace = request.extensions.get::<Trace>();
    let own = trace.map(|trace| trace.own.as_str()).unwrap_or_default();
    let mut response = errors::response(&problem, own);
    set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

/// Reads ahead a little, and gives up when the client does not take anything for too long.
fn paced(
    mut parts: impl Stream<Item = Result<Bytes, BackendError>> + Send + Unpin + 'static,
    place: OwnedSemaphorePermit,
    idle: Duration,
) -> impl Stream<Item = Result<Bytes, BackendError>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(async move {
        let _place = place;
        while let Some(part) = parts.next().await {
            if let Err(error) = &part {
                tracing::warn!(%error, "download broke off");
            }
            if sender.send_timeout(part, idle).await.is_err() {
                break;
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// What a file is called and what it is, as browsers are told.
fn presentation(link: &Download) -> Presentation {
    let known = TYPES.contains(&link.media_type.as_str());
    let kind = if known { link.media_type.as_str() } else { "application/octet-stream" };
    let plain: String = link
        .name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/') { c } else { '_' })
        .collect();
    let encoded = utf8_percent_encode(&link.name, NAME);
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    Presentation { disposition, media_type: kind.to_owned() }
}

fn head(status: StatusCode, link: &Download, etag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let Presentation { disposition, media_type } = presentation(link);
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        (header::CONTENT_DISPOSITION, disposition.as_str()),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
        (header::CONTENT_TYPE, media_type.as_str()),
        (header::ETAG, etag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        set(&mut response, name, value);
    }
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn lists(header: Option<&HeaderValue>, etag: &str) -> bool {
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').map(str::trim).any(|it| it == "*" || it.trim_start_matches("W/") == etag)
}

/// Which bytes are asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// All of them; also when the header is not understood, as RFC 9110 says.
    Whole,
    /// Some.
    Part(Range<u64>),
    /// Bytes that are not there.
    Outside,
}

impl Wanted {
    fn read(headers: &HeaderMap, size: u64) -> Self {
        let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        text.map_or(Self::Whole, |text| Self::parse(text, size))
    }

    fn parse(text: &str, size: u64) -> Self {
        let range = text.strip_prefix("bytes=").filter(|range| !range.contains(','));
        let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
            return Self::Whole;
        };
        let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        match (first, last) {
            ("", last) => match number(last) {
                Some(0) => Self::Outside,
                Some(_) if size == 0 => Self::Outside,
                Some(length) => Self::Part(size.saturating_sub(length)..size),
                None => Self::Whole,
            },
            (first, last) => {
                let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
                match (number(first), end) {
                    (Some(start), Some(end)) if start <= end && start < size => {
                        Self::Part(start..end.saturating_add(1).min(size))
                    }
                    (Some(start), Some(end)) if start <= end => Self::Outside,
                    _ => Self::Whole,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let cases = [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=5-99", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=18446744073709551615-", Wanted::Outside),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=7-3", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
        ];
        for (text, wanted) in cases {
            assert_eq!(Wanted::parse(text, 10), wanted, "{text}");
        }
        assert_eq!(Wanted::parse("bytes=0-", 0), Wanted::Outside);
    }
}
