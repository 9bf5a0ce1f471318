//! Whether a node is well, and its counters: on the edge's port, and on one of its own for nodes
//! that serve no clients.

use crate::options::MetricsText;
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
    stopping: CancellationToken,
}

/// Serves `/healthz`, `/readyz` and `/metrics`, and nothing else, until `ended`. They need no key.
///
/// From `stopping` on the node is not ready any more, but lives: running work may take its time.
pub async fn serve_status(
    listener: TcpListener,
    database: Arc<dyn Database>,
    text: MetricsText,
    stopping: CancellationToken,
    ended: impl Future<Output = ()>,
) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async |State(status): State<Status>| {
                ready(&status.stopping, status.database.as_ref()).await
            }),
        )
        .route("/metrics", get(async |State(status): State<Status>| text_of(&status.text)))
        .with_state(Status { database, text, stopping });
    let mut connections = Connections::new(router, CONNECTIONS_MAX, CancellationToken::new());
    connections.accept(&listener, ended).await;
    drop(listener);
    connections.drain(DRAIN).await;
}

/// The answer to `/readyz`: 503 while the node shuts down or its database does not answer.
pub(crate) async fn ready(stopping: &CancellationToken, database: &dyn Database) -> Response<Body> {
    let missing = if stopping.is_cancelled() {
        Some("the node is shutting down")
    } else {
        let asked = tokio::time::timeout(READY_WAIT, database.head()).await;
        (!matches!(asked, Ok(Ok(_)))).then_some("the database does not answer")
    };
    match missing {
        None => "ready\n".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")).into_response(),
    }
}

/// The answer to `/metrics`.
pub(crate) fn text_of(text: &MetricsText) -> Response<Body> {
    typed("text/plain; version=0.0.4; charset=utf-8", text().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_adapter_memory::MemoryDatabase;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_node_that_stops_lives_and_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopping, ended) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(serve_status(
            listener,
            Arc::new(MemoryDatabase::new()),
            Arc::new(|| "a_total 1\n".to_owned()),
            stopping.clone(),
            ended.clone().cancelled_owned(),
        ));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.ends_with("a_total 1\n"));
        stopping.cancel();
        let unready = get(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
        assert!(unready.contains("shutting down"), "{unready}");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        ended.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
