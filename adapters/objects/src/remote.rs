//! What stores on other machines have in common: a first look, tidying, and how they fail.

use crate::address::Address;
use crate::error::ObjectsError;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use printmill_backend::Blobs;
use printmill_backend::blobs::BlobsCaps;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// S3 takes no smaller parts, but for the last; the others have no need of larger ones.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// An upload that was not touched for so long belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// How many of them are removed at most when a store is opened.
const SWEPT_MAX: usize = 1000;
/// How much of a store's answer is kept for messages, in bytes.
const ANSWER_BYTES_MAX: usize = 300;

/// The limits of requests to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// How long a request may take, with its body.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How often a request that failed in passing is tried again.
    pub retries: u16,
    /// How long after the first try another may begin.
    pub retry_time: Duration,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 4,
            retry_time: Duration::from_secs(20),
        }
    }
}

impl Remote {
    /// Reads `timeout_seconds`, `connect_seconds`, `retries` and `retry_seconds`.
    pub(crate) fn read(address: &mut Address) -> Result<Self, ObjectsError> {
        let usual = Self::default();
        Ok(Self {
            timeout: address.seconds("timeout_seconds")?.unwrap_or(usual.timeout),
            connect_timeout: address.seconds("connect_seconds")?.unwrap_or(usual.connect_timeout),
            retries: address.number("retries", 20)?.unwrap_or(usual.retries),
            retry_time: address.seconds("retry_seconds")?.unwrap_or(usual.retry_time),
        })
    }

    /// `plain` allows what is not encrypted.
    pub(crate) fn client(&self, plain: bool) -> ClientOptions {
        ClientOptions::new()
            .with_timeout(self.timeout)
            .with_connect_timeout(self.connect_timeout)
            .with_allow_http(plain)
    }

    pub(crate) fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        };
        let (max_retries, retry_timeout) = (self.retries.into(), self.retry_time);
        RetryConfig { backoff, max_retries, retry_timeout }
    }
}

/// A store whose keys all begin with a prefix, if there is one.
pub(crate) fn with_prefix(store: impl ObjectStore, prefix: &str) -> Arc<dyn ObjectStore> {
    match prefix {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    }
}

/// What a store of that name says of itself: each puts whole objects or nothing.
pub const fn capabilities(name: &'static str) -> BlobsCaps {
    BlobsCaps { name, local: false, part_bytes: PART_BYTES, atomic_put: true }
}

/// Blobs in such a store.
pub(crate) fn blobs(name: &'static str, store: Arc<dyn ObjectStore>) -> Blobs {
    Blobs::new(store, capabilities(name))
}

/// Asks for what is in quarantine: whether the store answers, knows us, and has the place.
pub(crate) async fn look(store: &dyn ObjectStore) -> object_store::Result<()> {
    match store.list(Some(&Path::from("quarantine"))).next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Removes old uploads. What cannot be removed now is tried again at the next start.
pub(crate) async fn sweep(store: &dyn ObjectStore) {
    let Some(before) = SystemTime::now().checked_sub(ABANDONED) else { return };
    let listed = store.list(Some(&Path::from("quarantine"))).take(SWEPT_MAX);
    let old = listed.try_filter(|found| {
        let is_old = SystemTime::from(found.last_modified) < before;
        async move { is_old }
    });
    let old: Vec<_> = old.filter_map(|found| async { found.ok() }).collect().await;
    for found in old {
        let _ = store.delete(&found.location).await;
    }
}

/// What a store or its client said, all causes in one text.
pub(crate) struct Trouble {
    text: String,
}

impl Trouble {
    pub(crate) fn of(error: &object_store::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push('\n');
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self { text }
    }

    pub(crate) fn says(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// What an XML answer has between two tags.
    pub(crate) fn tag(&self, name: &str) -> Option<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let found = self.text.split_once(&open)?.1.split_once(&close)?.0;
        let first = found.lines().next().unwrap_or_default();
        Some(first.to_owned()).filter(|found| found.len() <= ANSWER_BYTES_MAX)
    }

    /// The last cause, which says the most, or a store's code and message.
    fn answer(&self) -> String {
        if let (Some(code), Some(message)) = (self.tag("Code"), self.tag("Message")) {
            return format!("{code}: {message}");
        }
        let last = self.text.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.unwrap_or_default().trim();
        let end =
            (0..=ANSWER_BYTES_MAX.min(last.len())).rev().find(|at| last.is_char_boundary(*at));
        last[..end.unwrap_or(0)].to_owned()
    }

    pub(crate) fn refused(
        &self,
        store: &'static str,
        what: String,
        remedy: String,
        passing: bool,
    ) -> ObjectsError {
        let source = Some(self.answer().into());
        ObjectsError::Refused { store, what, remedy, passing, source }
    }

    /// The store was not reached, or did not understand.
    pub(crate) fn unreached(&self, store: &'static str, url: &str) -> ObjectsError {
        let any = |words: &[&str]| words.iter().any(|words| self.says(words));
        let (what, remedy, passing) = if any(&["certificate", "UnknownIssuer"]) {
            (
                format!("nobody that this machine trusts vouches for {url}"),
                "name the authority's certificate by ca_file=…, or correct endpoint=…",
                false,
            )
        } else if any(&["InvalidContentType", "corrupt message"]) {
            (
                format!("{url} does not speak TLS"),
                "write http:// in endpoint=…, if nothing need be encrypted on the way",
                false,
            )
        } else if any(&["dns error", "failed to lookup address"]) {
            (format!("the host of {url} is not known"), "correct endpoint=… or region=…", false)
        } else if any(&["Connection refused", "tcp connect error", "timed out", "unreachable"]) {
            (
                format!("{url} does not answer"),
                "check endpoint=…, that the store runs, and that a firewall lets this through",
                true,
            )
        } else {
            (
                format!("{url} does not answer as it should"),
                "check endpoint=…, the bucket's name and that the store works",
                true,
            )
        };
        self.refused(store, what, remedy.to_owned(), passing)
    }
}
