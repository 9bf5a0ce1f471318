//! The queue's file: opening it, noticing that it is gone or damaged, and starting afresh.

use super::claim::Claims;
use super::connect::{self, OpeningLock, sibling};
use super::log_watch::LogWatch;
use super::schema::{QUEUE, QUEUE_VERSION};
use crate::error;
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection, Row};
use std::path::{Path, PathBuf};

const OPEN: &str = "open the queue";
/// What SQLite keeps beside a file: the log and its index.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Which files a connection works on: the main one, the log and its index.
type Identity = [Option<u64>; 3];

/// A queue's file that is open.
#[derive(Debug)]
pub(crate) struct QueueFile {
    path: PathBuf,
    identity: Identity,
}

impl QueueFile {
    /// Opens or creates a file. One that is damaged is moved aside first.
    pub(crate) async fn open(path: &Path) -> Result<(Self, Claims), BackendError> {
        let lock = OpeningLock::take(path).await?;
        if !path.exists() {
            discard(path, Discard::Delete)?;
        }
        let connection = match prepared(path).await {
            Ok(connection) => connection,
            Err(error) if error.fault == Fault::Corrupt => {
                tracing::warn!(%error, path = %path.display(), "the queue starts afresh");
                discard(path, Discard::MoveAside)?;
                prepared(path).await?
            }
            Err(error) => return Err(error),
        };
        let file = Self { path: path.into(), identity: identity(path) };
        drop(lock);
        Ok((file, Claims::new(connection)))
    }

    /// Whether the files are not those any more that were opened.
    pub(crate) fn is_lost(&self) -> bool {
        identity(&self.path) != self.identity
    }

    /// What tells whether it was written to.
    pub(crate) fn log(&self) -> LogWatch {
        LogWatch::of(&self.path)
    }

    /// Opens the file that took this one's place, or a new one.
    pub(crate) async fn replace(&self, damaged: bool) -> Result<(Self, Claims), BackendError> {
        let lock = OpeningLock::take(&self.path).await?;
        // Another process may have replaced it already.
        if identity(&self.path)[0] == self.identity[0] {
            discard(&self.path, if damaged { Discard::MoveAside } else { Discard::Delete })?;
        }
        drop(lock);
        Self::open(&self.path).await
    }
}

/// A connection to a file with the queue's tables.
async fn prepared(path: &Path) -> Result<SqliteConnection, BackendError> {
    let options = connect::writing(path, SqliteSynchronous::Normal);
    let opening = SqliteConnection::connect_with(&options).await;
    let mut connection = opening.map_err(|error| error::driver(OPEN, error))?;
    match check_or_create(&mut connection).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            let _ = connection.close().await;
            Err(error)
        }
    }
}

async fn check_or_create(connection: &mut SqliteConnection) -> Result<(), BackendError> {
    let driver = |error| error::driver(OPEN, error);
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await;
    let version: i64 = row.and_then(|row| row.try_get(0)).map_err(driver)?;
    match version {
        0 => {
            let script = format!("BEGIN; {QUEUE} PRAGMA user_version = {QUEUE_VERSION}; COMMIT");
            let script = sqlx::AssertSqlSafe(script);
            let created = sqlx::raw_sql(script).execute(&mut *connection).await;
            created.map_err(|error| match error::fault(&error) {
                // There are tables without a number: not this queue's.
                Fault::Other => error::corrupt(OPEN, "its tables cannot be made").because(error),
                _ => driver(error),
            })?;
        }
        QUEUE_VERSION => {
            let probe = "SELECT count(*) FROM lane_count; SELECT max(id) FROM message";
            sqlx::query(probe).fetch_all(&mut *connection).await.map_err(driver)?;
        }
        other => return Err(error::corrupt(OPEN, format!("its tables have version {other}"))),
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Discard {
    Delete,
    MoveAside,
}

/// Removes a file with what SQLite keeps beside it: a log left over must never meet a new file.
fn discard(path: &Path, how: Discard) -> Result<(), BackendError> {
    let main = match how {
        Discard::Delete => std::fs::remove_file(path),
        Discard::MoveAside => std::fs::rename(path, sibling(path, ".damaged")),
    };
    let companions = COMPANIONS.map(|suffix| std::fs::remove_file(sibling(path, suffix)));
    for removed in std::iter::once(main).chain(companions) {
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let detail = format!("{} cannot be replaced", path.display());
                return Err(
                    BackendError::new(Fault::ReadOnly, error::SQLITE, OPEN, detail).because(error)
                );
            }
            _ => {}
        }
    }
    Ok(())
}

fn identity(path: &Path) -> Identity {
    let [log, index] = COMPANIONS.map(|suffix| number(&sibling(path, suffix)));
    [number(path), log, index]
}

/// The file's number in its file system. It is not given to another file while this one is open.
#[cfg(unix)]
fn number(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Where files have no numbers, only that it is there.
#[cfg(not(unix))]
fn number(path: &Path) -> Option<u64> {
    path.exists().then_some(0)
}
