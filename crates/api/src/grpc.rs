//! The gRPC services with what surrounds them: authentication, deadlines, uniform errors.
//! The REST gateway calls them through here as well, in the same process.

use crate::auth::{Keys, permit};
use crate::bodies::Bodies;
use crate::errors;
use crate::trace::Trace;
use axum::body::Body;
use futures::{FutureExt, StreamExt};
use http::{Extensions, HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use printmill_domain::problem::Problem;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::ServiceExt;

/// How long health watchers have to read that the node leaves.
const GRACE: Duration = Duration::from_millis(200);

/// What every call passes through.
pub(crate) struct Grpc {
    routes: axum::Router,
    methods: HashSet<String>,
    keys: Keys,
    bodies: Bodies,
    timeout: Duration,
    stopping: CancellationToken,
}

impl Grpc {
    /// Surrounds services. `methods` are the paths of all their methods.
    pub(crate) fn new(
        routes: axum::Router,
        methods: HashSet<String>,
        keys: Keys,
        bodies: Bodies,
        timeout: Duration,
        stopping: CancellationToken,
    ) -> Self {
        Self { routes, methods, keys, bodies, timeout, stopping }
    }

    /// Whether there is a method with this path, as in `/printmill.v1.OrderService/GetOrder`.
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.methods.contains(path)
    }

    /// Whether there is such a method, and the caller may use it. Tells the services who calls.
    pub(crate) async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Result<(), Problem> {
        let service = path.trim_start_matches('/').split_once('/').map(|(service, _)| service);
        let service = service.filter(|_| self.knows(path));
        let service = service.ok_or_else(|| errors::unknown_method(path))?;
        if is_ours(service) {
            let caller = self.keys.caller(headers).await?;
            permit(&caller, service)?;
            extensions.insert(caller);
        }
        Ok(())
    }

    /// Answers a call from outside. The answer is always gRPC, also when it is a refusal.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let timeout = self.timeout.min(asked_timeout(request.headers()));
        let answer = async {
            let (mut parts, body) = request.into_parts();
            self.admit(&path, &parts.headers, &mut parts.extensions).await?;
            if !is_ours(path.trim_start_matches('/')) {
                return Ok(self.respond(Request::from_parts(parts, body)).await);
            }
            let whole = self.bodies.read(body, timeout).await?;
            let body = Body::from(whole.bytes.clone());
            Ok(self.respond(Request::from_parts(parts, body)).await)
        };
        let answer = async { answer.await.unwrap_or_else(|problem| refuse(&problem)) };
        self.guarded(&path, timeout, answer).await
    }

    /// Answers a call whose caller was admitted and whose message was read.
    pub(crate) async fn call_admitted(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        self.guarded(&path, self.timeout, self.respond(request)).await
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let ours = is_ours(request.uri().path().trim_start_matches('/'));
        match self.routes.clone().oneshot(request).await {
            Ok(response) if ours => uniform(response),
            // A refusal is in the head already; nothing streams after it.
            Ok(response) if response.headers().contains_key("grpc-status") => uniform(response),
            Ok(response) => response.map(|body| until(self.stopping.clone(), body)),
            Err(never) => match never {},
        }
    }

    async fn guarded(
        &self,
        path: &str,
        timeout: Duration,
        answer: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        let guarded = AssertUnwindSafe(tokio::time::timeout(timeout, answer)).catch_unwind();
        match guarded.await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => refuse(&errors::out_of_time()),
            Err(_) => {
                tracing::error!(method = path, "request panicked");
                refuse(&errors::internal())
            }
        }
    }
}

/// Whether a service, or a path without its slash, is of Printmill's contract.
fn is_ours(service: &str) -> bool {
    service.starts_with("printmill.")
}

/// A refusal as the whole gRPC answer.
pub(crate) fn refuse(problem: &Problem) -> Response<Body> {
    errors::status(problem).into_http()
}

/// The trace of a request, which the outermost layer put there.
pub(crate) fn trace(extensions: &http::Extensions) -> Option<&Trace> {
    extensions.get::<Trace>()
}

/// Gives statuses that the machinery made by itself a code, advice and page.
fn uniform(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Ok && status.details().is_empty() => {
            refuse(&errors::problem(&status))
        }
        _ => response,
    }
}

/// Ends a stream of health or reflection, which know nothing of shutdown, a moment after it began.
fn until(stopping: CancellationToken, body: Body) -> Body {
    let left = async move {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let frames = BodyStream::new(body).inspect(move |frame| {
        if frame.as_ref().is_ok_and(Frame::is_trailers) {
            seen.store(true, Ordering::Relaxed);
        }
    });
    let cut = futures::stream::once(async move {
        let status = errors::status(&errors::out_of_time());
        let headers = status.into_http::<()>().into_parts().0.headers;
        (!over.load(Ordering::Relaxed)).then(|| Ok(Frame::trailers(headers)))
    });
    let frames = frames.take_until(Box::pin(left)).chain(cut.filter_map(std::future::ready));
    Body::new(StreamBody::new(frames))
}

/// The deadline that the caller set by `grpc-timeout`.
fn asked_timeout(headers: &HeaderMap) -> Duration {
    let text = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
    text.and_then(parse_timeout).unwrap_or(Duration::MAX)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(number).filter(|it| it.len() <= 8)?.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "S", "-1S", "123456789S", "1x", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
