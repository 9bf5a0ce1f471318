//! What surrounds every request: its trace and id, a bound on how many there are, panics, metrics.

use crate::errors;
use crate::grpc;
use crate::rest::Served;
use crate::router::App;
use crate::trace::Trace;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use printmill_domain::problem::Problem;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
/// The most characters of a request's name that a client gives it.
const REQUEST_ID_MAX: usize = 100;

/// What the edge counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
}

impl Metrics {
    /// Makes the counters, and registers them if there is a registry.
    pub(crate) fn new(registry: Option<&Registry>) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
        let seconds = "Until the head of the answer, by method.";
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("printmill_requests_total", "Requests answered, by method and code."),
                &["method", "protocol", "code"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("printmill_request_seconds", seconds).buckets(buckets),
                &["method", "protocol"],
            )?,
            in_flight: IntGauge::new("printmill_requests_in_flight", "Requests being answered.")?,
        };
        if let Some(registry) = registry {
            registry.register(Box::new(metrics.requests.clone()))?;
            registry.register(Box::new(metrics.seconds.clone()))?;
            registry.register(Box::new(metrics.in_flight.clone()))?;
        }
        Ok(metrics)
    }
}

/// Counts a request for as long as it lives, also when its client goes away.
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether a request speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The outermost layer.
pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let began = Instant::now();
    let _in_flight = InFlight::new(&app.metrics.in_flight);
    let trace = Trace::of(request.headers());
    let id = request_id(request.headers(), &trace);
    let grpc = is_grpc(request.headers());
    let protocol = if grpc { "grpc" } else { "http" };
    let path = request.uri().path().to_owned();
    // The query may hold a signature, and headers a key: neither is logged.
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = %path.chars().take(200).collect::<String>(),
        protocol,
        request_id = id.to_str().unwrap_or_default(),
        trace_id = trace.id(),
    );
    if let Some(continue_trace) = &app.continue_trace {
        continue_trace(&span, trace.incoming.as_deref().unwrap_or(&trace.own));
    }
    request.extensions_mut().insert(trace.clone());
    let refuse = |problem: &Problem| match grpc {
        true => grpc::refuse(problem),
        false => errors::response(problem, &trace.own),
    };
    let mut response = match app.requests.try_acquire() {
        Err(_) => refuse(&errors::busy()),
        Ok(_place) => {
            let answer = next.run(request).instrument(span.clone());
            AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(path, "request panicked");
                refuse(&errors::internal())
            })
        }
    };
    let method = method(&app, &path, &response);
    let code = code(grpc, &response);
    let seconds = began.elapsed().as_secs_f64();
    app.metrics.requests.with_label_values(&[method, protocol, code.as_str()]).inc();
    app.metrics.seconds.with_label_values(&[method, protocol]).observe(seconds);
    span.in_scope(|| tracing::debug!(code, seconds, "request answered"));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    if let Ok(own) = HeaderValue::from_str(&trace.own) {
        headers.insert("traceparent", own);
    }
    response
}

/// The client's name for the request, or else the trace's.
fn request_id(headers: &HeaderMap, trace: &Trace) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let text = value.to_str().unwrap_or_default();
        (1..=REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    });
    let own = || HeaderValue::from_str(trace.id()).unwrap_or(HeaderValue::from_static("-"));
    given.cloned().unwrap_or_else(own)
}

/// A request's method for metrics: one of a bounded set.
fn method<'a>(app: &App, path: &'a str, response: &'a Response<Body>) -> &'a str {
    if let Some(Served(method)) = response.extensions().get::<Served>() {
        return method;
    }
    match path {
        "/healthz" | "/readyz" | "/metrics" | "/openapi.json" => path,
        _ if app.grpc.knows(path) => path,
        _ if path.starts_with("/v1/uploads/") => "upload",
        _ if path.starts_with("/v1/files/") => "download",
        _ => "unknown",
    }
}

fn code(grpc: bool, response: &Response<Body>) -> String {
    if !grpc {
        return response.status().as_u16().to_string();
    }
    let status = tonic::Status::from_header_map(response.headers());
    // What `Display` says is a sentence.
    format!("{:?}", status.map_or(tonic::Code::Ok, |status| status.code()))
}
