//! Whether a node is well, and its counters: on the edge's port, and on one of its own for nodes
//! that serve no clients.

use crate::options::{MetricsText, Unanswered};
use crate::router::typed;
use crate::serve::Connections;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{Response, StatusCode};
use printmill_backend::Database;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long `/readyz` waits for the database.
const READY_WAIT: Duration = Duration::from_secs(2);
/// The most connections to a port of its own: probes and scrapes are few.
const CONNECTIONS_MAX: usize = 64;
/// How long those may finish.
const DRAIN: Duration = Duration::from_secs(1);

/// What is told.
#[derive(Clone)]
struct Status {
    database: Arc<dyn Database>,
    text: MetricsText,
    unanswered: Option<Unanswered>,
    stopping: CancellationToken,
}

/// Serves `/healthz`, `/readyz` and `/metrics`, and nothing else, until `ended`. They need no key.
///
/// From `stopping` on the node is not ready any more, but lives: running work may take its time.
pub async fn serve_status(
    listener: TcpListener,
    database: Arc<dyn Database>,
    text: MetricsText,
    unanswered: Option<Unanswered>,
    stopping: CancellationToken,
    ended: impl Future<Output = ()>,
) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async |State(status): State<Status>| {
                let Status { stopping, database, unanswered, .. } = &status;
                ready(stopping, database.as_ref(), unanswered.as_ref()).await
            }),
        )
        .route("/metrics", get(async |State(status): State<Status>| text_of(&status.text)))
        .with_state(Status { database, text, unanswered, stopping });
    let mut connections = Connections::new(router, CONNECTIONS_MAX, CancellationToken::new());
    connections.accept(&listener, ended).await;
    drop(listener);
    connections.drain(DRAIN).await;
}

/// The answer to `/readyz`: 503 while the node shuts down or its database does not answer. It names
/// other backends that do not.
pub(crate) async fn ready(
    stopping: &CancellationToken,
    database: &dyn Database,
    unanswered: Option<&Unanswered>,
) -> Response<Body> {
    let missing = if stopping.is_cancelled() {
        Some("the node is shutting down")
    } else {
        let asked = tokio::time::timeout(READY_WAIT, database.head()).await;
        (!matches!(asked, Ok(Ok(_)))).then_some("the database does not answer")
    };
    if let Some(missing) = missing {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")).into_response();
    }
    let unanswered = unanswered.map(|ask| ask()).unwrap_or_default();
    match unanswered.is_empty() {
        true => "ready\n".into_response(),
        // Taking the node out of service would keep users from all the rest as well.
        false => format!("ready, without: {}\n", unanswered.join(", ")).into_response(),
    }
}

/// The answer to `/metrics`.
pub(crate) fn text_of(text: &MetricsText) -> Response<Body> {
    typed("text/plain; version=0.0.4; charset=utf-8", text().into())
}
