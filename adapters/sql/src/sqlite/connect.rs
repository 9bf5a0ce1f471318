//! Connections to SQLite files: settings, pools, and opening a file for the first time.

use crate::error;
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long SQLite waits for another process's write to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections for reading. Each has a thread of its own.
const READERS: u32 = 3;

/// Settings of a connection that writes.
pub(crate) fn writing(path: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", "-4096")
        .pragma("temp_store", "memory")
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(96)
        .row_buffer_size(1024)
        .disable_statement_logging()
}

/// A pool of connections that only read, with small caches, opened when first needed.
pub(crate) fn readers(path: &Path) -> DatabaseConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "on")
        .pragma("cache_size", "-1024")
        .pragma("temp_store", "memory")
        .statement_cache_capacity(48)
        .row_buffer_size(256)
        .disable_statement_logging();
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool(READERS).connect_lazy_with(options))
}

/// One connection for the migrations.
pub(crate) async fn migrating(path: &Path) -> Result<DatabaseConnection, BackendError> {
    let options = writing(path, SqliteSynchronous::Full);
    let pool: SqlitePool = pool(1)
        .connect_with(options)
        .await
        .map_err(|error| error::driver("open the database", error))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Without limits of age there is no task that looks after the pool: an idle node stays idle.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// A lock between processes while one of them creates, migrates or replaces a file.
#[derive(Debug)]
pub(crate) struct OpeningLock {
    _file: File,
}

impl OpeningLock {
    /// Creates the directory if there is none, and waits for the lock.
    pub(crate) async fn take(path: &Path) -> Result<Self, BackendError> {
        let beside = sibling(path, "-open");
        let locking = tokio::task::spawn_blocking(move || {
            if let Some(directory) = beside.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let file = File::options().create(true).truncate(false).write(true).open(&beside)?;
            file.lock()?;
            Ok(Self { _file: file })
        });
        locking.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(
            |error: std::io::Error| {
                let fault = match error.kind() {
                    std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly,
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        Fault::Full
                    }
                    _ => Fault::Unavailable,
                };
                let detail = format!("{} cannot be created or locked", path.display());
                BackendError::new(fault, error::SQLITE, "open a file", detail).because(error)
            },
        )
    }
}

/// A path with something appended to the file's name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
