//! Serving: connections in, and leaving without breaking off what was begun.

use crate::options::{ApiOptions, HEADER_BYTES_MAX, HEADERS_MAX};
use crate::router::{BuildError, build};
use crate::services::Services;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;

/// How long the accept loop rests when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a quiet HTTP/2 connection is asked whether it lives, and for how long.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// The most requests at the same time on one connection.
const CONNECTION_STREAMS_MAX: u32 = 256;

/// What one request of an HTTP/2 connection may send ahead of its being read, and all of them; and
/// what an answer may be ahead of its being sent. In bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
const SEND_BUFFER: usize = 64 * 1024;

/// Serves gRPC (HTTP/2 without TLS, and HTTP/1.1 for the rest) on one port, until `shutdown`
/// completes.
///
/// Then health says NOT_SERVING, nothing is accepted any more, watches end, and requests under way
/// may finish within `drain_timeout`.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    options: ApiOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), BuildError> {
    let stopping = CancellationToken::new();
    let built = build(services, &options, stopping.clone()).await?;
    let mut connections = Connections::new(built.router, options.connections_max, stopping);
    connections.accept(&listener, shutdown).await;
    for name in &built.names {
        built.health.set_service_status(name, ServingStatus::NotServing).await;
    }
    drop(listener);
    connections.drain(options.drain_timeout).await;
    Ok(())
}

/// The connections to one port.
pub(crate) struct Connections {
    router: Router,
    /// Places for connections that are open at the same time.
    places: Arc<Semaphore>,
    open: TaskTracker,
    stopping: CancellationToken,
    killed: CancellationToken,
}

impl Connections {
    /// None yet, and at most so many; `stopping` is cancelled when they shall end.
    pub(crate) fn new(router: Router, most: usize, stopping: CancellationToken) -> Self {
        let (open, killed) = (TaskTracker::new(), CancellationToken::new());
        Self { router, places: Arc::new(Semaphore::new(most)), open, stopping, killed }
    }

    /// Accepts connections until `shutdown` completes.
    pub(crate) async fn accept(
        &mut self,
        listener: &TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = async {
                let place = self.places.clone().acquire_owned().await;
                (listener.accept().await, place)
            };
            let (stream, place) = tokio::select! {
                () = &mut shutdown => return,
                (Ok((stream, _)), place) = accepted => (stream, place),
                else => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = connection(stream, self.router.clone(), self.stopping.clone());
            let killed = self.killed.clone();
            self.open.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = connection => {}
                    () = killed.cancelled() => {}
                }
            });
        }
    }

    /// Lets what is under way finish within the time given.
    pub(crate) async fn drain(self, limit: Duration) {
        self.stopping.cancel();
        self.open.close();
        if tokio::time::timeout(limit, self.open.wait()).await.is_err() {
            let left = self.open.len();
            tracing::warn!(left, "connections are cut, since draining took too long");
            self.killed.cancel();
            self.open.wait().await;
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stopping: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay was not set");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .max_concurrent_streams(CONNECTION_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_BYTES_MAX as u32);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended badly");
    }
}
