//! What a failure of the database means to the caller.

use crate::dialect::Dialect;
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

pub(crate) const SQLITE: &str = "sqlite";
/// In messages that are about no dialect.
pub(crate) const SQL: &str = "sql";

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NO_MEMORY: i32 = 7;
const READ_ONLY: i32 = 8;
const IO: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const TOO_BIG: i32 = 18;
const NOT_A_DATABASE: i32 = 26;
const PERMISSION: i32 = 3;

/// The kinds of `SQLITE_IOERR` that happen when reading: they do not mean a full disk.
const READING: [i32; 3] = [1, 2, 33];

/// What kind of failure an error of the driver is.
pub(crate) fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(inner) => {
            #[cfg(feature = "postgres")]
            if let Some(error) = inner.try_downcast_ref() {
                return crate::postgres::error::fault(error);
            }
            #[cfg(feature = "mysql")]
            if let Some(error) = inner.try_downcast_ref() {
                return crate::mysql::error::fault(error);
            }
            let code = inner.code().and_then(|code| code.parse().ok());
            code.map_or(Fault::Other, fault_of_code)
        }
        // What a connection says whose other side went away in the middle.
        sqlx::Error::Protocol(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Fault::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Fault::Corrupt,
        _ => Fault::Other,
    }
}

fn fault_of_code(extended: i32) -> Fault {
    match extended & 0xff {
        BUSY | LOCKED | NO_MEMORY => Fault::Unavailable,
        READ_ONLY | CANNOT_OPEN | PERMISSION => Fault::ReadOnly,
        IO if READING.contains(&(extended >> 8)) => Fault::Unavailable,
        IO | FULL => Fault::Full,
        CORRUPT | NOT_A_DATABASE => Fault::Corrupt,
        TOO_BIG => Fault::Rejected,
        _ => Fault::Other,
    }
}

/// A failure of SQLite while doing something.
pub(crate) fn driver(operation: &'static str, error: sqlx::Error) -> BackendError {
    driver_of(Dialect::Sqlite, operation, error)
}

/// A failure of the driver while doing something.
pub(crate) fn driver_of(
    dialect: Dialect,
    operation: &'static str,
    error: sqlx::Error,
) -> BackendError {
    let fault = fault(&error);
    BackendError::new(fault, dialect.name(), operation, detail(dialect, fault)).because(error)
}

/// A failure of SeaORM on SQLite while doing something.
pub(crate) fn orm(operation: &'static str, error: DbErr) -> BackendError {
    orm_of(Dialect::Sqlite, operation, error)
}

/// A failure of SeaORM while doing something.
pub(crate) fn orm_of(dialect: Dialect, operation: &'static str, error: DbErr) -> BackendError {
    let fault = match &error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => fault(inner),
        DbErr::ConnectionAcquire(_) => Fault::Unavailable,
        DbErr::Type(_) | DbErr::TryIntoErr { .. } | DbErr::Json(_) => Fault::Corrupt,
        _ => Fault::Other,
    };
    BackendError::new(fault, dialect.name(), operation, detail(dialect, fault)).because(error)
}

/// A stored value that cannot be read back.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<String>) -> BackendError {
    BackendError::new(Fault::Corrupt, SQL, operation, what)
}

fn detail(dialect: Dialect, fault: Fault) -> &'static str {
    match fault {
        Fault::ReadOnly if dialect != Dialect::Sqlite => {
            "the server takes no writes: it is a replica, or read-only"
        }
        Fault::Corrupt if dialect != Dialect::Sqlite => "stored data is damaged",
        Fault::Unavailable => "it is busy or does not answer",
        Fault::Full => "there is no space left, or the disk fails",
        Fault::ReadOnly => "its file cannot be opened or written to",
        Fault::NotFound => "it is not there",
        Fault::Corrupt => "its file is damaged",
        Fault::Rejected => "a value is too large",
        Fault::Other => "it answered with an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_sqlite_are_told_apart() {
        let cases = [
            (5, Fault::Unavailable),
            (5 | 2 << 8, Fault::Unavailable),
            (13, Fault::Full),
            (10 | 3 << 8, Fault::Full),
            (10 | 1 << 8, Fault::Unavailable),
            (8 | 1 << 8, Fault::ReadOnly),
            (14, Fault::ReadOnly),
            (11 | 1 << 8, Fault::Corrupt),
            (19, Fault::Other),
        ];
        for (code, fault) in cases {
            assert_eq!(fault_of_code(code), fault, "code {code}");
        }
    }
}
