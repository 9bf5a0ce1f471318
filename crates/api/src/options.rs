//! What the edge needs to be told, and its limits.

use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The largest gRPC message and REST body, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The largest request head, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The most header fields of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// The largest file that a worker outside may upload, in bytes.
pub(crate) const WORK_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How long a signed link works.
pub const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// The most entries of a page.
pub const PAGE_SIZE_MAX: u32 = 100;
/// The entries of a page when nothing is asked for.
pub const PAGE_SIZE_DEFAULT: u32 = 50;

/// Gives the text of `/metrics`, in the format of Prometheus.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;
/// Ties a request's span to the trace that its `traceparent` names.
pub type ContinueTrace = Arc<dyn Fn(&tracing::Span, &str) + Send + Sync>;

/// Names the backends that do not answer: `blobs`, `queue`.
pub type Unanswered = Arc<dyn Fn() -> Vec<&'static str> + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct ApiOptions {
    /// How clients reach this node, as in `https://print.example`; signed links begin with it.
    pub public_url: Url,
    /// The secret that signs links and lease tokens. All nodes behind one address need the same.
    pub signing_key: [u8; 32],
    /// The text of `/metrics`; without it the path is unknown.
    pub metrics_text: Option<MetricsText>,
    /// Where the edge registers its own counters.
    pub registry: Option<prometheus::Registry>,
    /// What `/readyz` says is missing beside the database, without which the node still serves.
    pub unanswered: Option<Unanswered>,
    /// Called with each request's span and `traceparent`.
    pub continue_trace: Option<ContinueTrace>,
    /// Whether KEDA may ask how many workers there should be. It can send no key, so that whoever
    /// reaches the node may.
    pub keda: bool,
    /// How long a request may take, streams and files excepted.
    pub request_timeout: Duration,
    /// How long an upload or download may stand still.
    pub idle_timeout: Duration,
    /// How long a watch of events may be silent before it gives a sign of life.
    pub heartbeat: Duration,
    /// How long connections may finish after shutdown began.
    pub drain_timeout: Duration,
    /// How long a key that was looked up is believed.
    pub key_cache: Duration,
    /// Requests at the same time; more are refused.
    pub requests_max: usize,
    /// Open streams and downloads at the same time; more are refused.
    pub streams_max: usize,
    /// Uploads at the same time; more are refused.
    pub uploads_max: usize,
    /// What uploads may hold in memory together, in bytes; more are refused. Each holds what is
    /// under way to it, 128 KiB, and its content up to twice `BlobsCaps::part_bytes`.
    pub upload_memory_max: usize,
    /// Open connections; more wait to be accepted.
    pub connections_max: usize,
}

impl ApiOptions {
    /// The usual limits.
    pub fn new(public_url: Url, signing_key: [u8; 32]) -> Self {
        Self {
            public_url,
            signing_key,
            metrics_text: None,
            registry: None,
            unanswered: None,
            continue_trace: None,
            keda: false,
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(20),
            key_cache: Duration::from_secs(3),
            requests_max: 1024,
            streams_max: 512,
            uploads_max: 256,
            upload_memory_max: 256 * 1024 * 1024,
            connections_max: 4096,
        }
    }
}

impl std::fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiOptions")
            .field("public_url", &self.public_url.as_str())
            .field("request_timeout", &self.request_timeout)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}
