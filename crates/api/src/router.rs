//! One router for everything: gRPC and REST, uploads and downloads, health and documents.

use crate::auth::Keys;
use crate::bodies::Bodies;
use crate::errors;
use crate::grpc::Grpc;
use crate::links::Links;
use crate::observe::{Metrics, is_grpc, observe};
use crate::options::{ApiOptions, ContinueTrace, MetricsText, Unanswered};
use crate::rest::Rest;
use crate::rest::openapi;
use crate::rest::rules::{ContractError, Rules};
use crate::services::{self, Edge, Services, keda};
use crate::sign::Signer;
use crate::trace::Trace;
use crate::{downloads, status, uploads};
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, put};
use axum::{Extension, Router, middleware};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The services of the gRPC machinery, whose methods need no key.
const OPEN_METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// The largest message of those.
const OPEN_BYTES_MAX: usize = 4 * 1024;

/// What all requests share.
pub(crate) struct App {
    pub(crate) edge: Edge,
    pub(crate) grpc: Arc<Grpc>,
    pub(crate) rest: Rest,
    pub(crate) metrics: Metrics,
    /// Places for requests being answered.
    pub(crate) requests: Semaphore,
    pub(crate) idle_timeout: Duration,
    pub(crate) continue_trace: Option<ContinueTrace>,
    metrics_text: Option<MetricsText>,
    unanswered: Option<Unanswered>,
    openapi: Bytes,
}

/// Why the edge could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The contract's descriptors cannot be served; a fault of the build.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The counters could not be registered, since others have their names.
    #[error("the edge's metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
    /// Reflection refused the descriptors; a fault of the build.
    #[error("reflection could not be built")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What can be served, with what tells the world that it is leaving.
pub(crate) struct Built {
    pub(crate) router: Router,
    pub(crate) health: tonic_health::server::HealthReporter,
    /// The names under which health is asked.
    pub(crate) names: Vec<String>,
}

/// Puts everything together.
pub(crate) async fn build(
    services: Services,
    options: &ApiOptions,
    stopping: CancellationToken,
) -> Result<Built, BuildError> {
    let rules = Rules::read(printmill_proto::FILE_DESCRIPTOR_SET)?;
    let openapi = openapi::document(&rules, &options.public_url).to_string();
    let signer = Signer::new(&options.signing_key);
    let edge = Edge {
        services,
        links: Links::new(signer.clone(), &options.public_url),
        signer,
        streams: Arc::new(Semaphore::new(options.streams_max)),
        uploads: Arc::new(Semaphore::new(options.uploads_max)),
        upload_kib: Arc::new(Semaphore::new(options.upload_memory_max / 1024)),
        heartbeat: options.heartbeat,
        stopping: stopping.clone(),
    };
    let (health, health_server) = tonic_health::server::health_reporter();
    let mut names: Vec<String> = vec![String::new()];
    names.extend(rules.services());
    for name in &names {
        health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(printmill_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?
        .max_decoding_message_size(OPEN_BYTES_MAX);
    let health_server = health_server.max_decoding_message_size(OPEN_BYTES_MAX);
    let routes = tonic::service::Routes::new(health_server).add_service(reflection);
    let routes = services::add(routes, &edge, options.keda).prepare().into_axum_router();
    let scaler = keda::METHODS.into_iter().filter(|_| options.keda);
    let open = OPEN_METHODS.into_iter().chain(scaler).map(str::to_owned);
    let methods = rules.grpc_paths().chain(open).collect();
    let keys = Keys::new(edge.services.database.clone(), options.key_cache);
    let (bodies, timeout) = (Bodies::new(), options.request_timeout);
    let grpc = Grpc::new(routes, methods, keys, bodies.clone(), timeout, stopping);
    let grpc = Arc::new(grpc);
    let app = Arc::new(App {
        edge,
        rest: Rest::new(rules, grpc.clone(), bodies, timeout),
        grpc,
        metrics: Metrics::new(options.registry.as_ref())?,
        requests: Semaphore::new(options.requests_max),
        idle_timeout: options.idle_timeout,
        continue_trace: options.continue_trace.clone(),
        metrics_text: options.metrics_text.clone(),
        unanswered: options.unanswered.clone(),
        openapi: openapi.into(),
    });
    Ok(Built { router: router(app), health, names })
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(document))
        .route("/v1/uploads/{merchant}/{asset}", put(uploads::upload))
        .route("/v1/workUploads/{merchant}/{ticket}", put(uploads::upload_work))
        .route("/v1/files/{merchant}/{sha256}", get(downloads::download))
        .fallback(dispatch)
        .method_not_allowed_fallback(dispatch)
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

async fn dispatch(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    if is_grpc(request.headers()) {
        app.grpc.call(request).await
    } else {
        app.rest.call(request).await
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    let Edge { stopping, services, .. } = &app.edge;
    status::ready(stopping, services.database.as_ref(), app.unanswered.as_ref()).await
}

async fn metrics(
    State(app): State<Arc<App>>,
    Extension(trace): Extension<Trace>,
) -> Response<Body> {
    match &app.metrics_text {
        Some(text) => status::text_of(text),
        None => errors::response(&errors::unknown_method("this node's /metrics"), &trace.own),
    }
}

async fn document(State(app): State<Arc<App>>) -> Response<Body> {
    typed("application/json", app.openapi.clone())
}

pub(crate) fn typed(kind: &'static str, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
