//! Addresses of databases and queues: which dialect, and where.

use crate::server_address::ServerAddress;
use printmill_backend::{BackendError, Fault};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a database or queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(ServerAddress),
    /// A database of a MySQL or MariaDB server.
    MySql(ServerAddress),
}

/// An address that names no database or queue that this adapter can open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{address}' is not an address of a SQL database: {reason}")]
pub struct InvalidAddress {
    /// What was given, without what may hold a password.
    pub address: String,
    /// Why, and what to write instead.
    pub reason: String,
}

impl InvalidAddress {
    /// Shows only what follows a user's name and password.
    pub(crate) fn new(address: &str, reason: impl Into<String>) -> Self {
        let shown = address.rsplit_once('@').map_or(address, |(_, after)| after);
        Self { address: shown.chars().take(200).collect(), reason: reason.into() }
    }
}

impl FromStr for Location {
    type Err = InvalidAddress;

    /// Reads `sqlite:///absolute/path.db`, `sqlite://./relative/path.db`, and
    /// `postgres://user:password@host:port/database?sslmode=verify-full`, or the same with
    /// `mysql://`.
    fn from_str(address: &str) -> Result<Self, InvalidAddress> {
        let scheme = address.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("sqlite") => sqlite(address),
            Some("postgres" | "postgresql") => {
                Ok(Location::Postgres(ServerAddress::read(address, 5432)?))
            }
            Some("mysql" | "mariadb") => Ok(Location::MySql(ServerAddress::read(address, 3306)?)),
            Some(_) => Err(InvalidAddress::new(
                address,
                "only sqlite://, postgres:// and mysql:// are supported",
            )),
            None => Err(InvalidAddress::new(
                address,
                "write sqlite:///absolute/path.db, postgres://user:password@host/database or \
                 mysql://user:password@host/database",
            )),
        }
    }
}

fn sqlite(address: &str) -> Result<Location, InvalidAddress> {
    let invalid = |reason: &str| InvalidAddress::new(address, reason);
    let path = address.strip_prefix("sqlite://").unwrap_or_default();
    if path.is_empty() || path.ends_with('/') {
        return Err(invalid("name the file, as in sqlite:///var/lib/printmill/printmill.db"));
    }
    if path.contains(['?', '#', '\0']) {
        return Err(invalid("it takes no parameters, and the path no '?', '#' or NUL"));
    }
    if path.contains(":memory:") {
        return Err(invalid("a database in memory is memory://, not sqlite://"));
    }
    Ok(Location::Sqlite(PathBuf::from(path)))
}

impl From<InvalidAddress> for BackendError {
    fn from(error: InvalidAddress) -> Self {
        let detail = error.reason.clone();
        BackendError::new(Fault::Rejected, "sql", "read an address", detail).because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_and_relative_paths_are_read() {
        let read = |address: &str| address.parse::<Location>();
        assert_eq!(read("sqlite:///a/b.db"), Ok(Location::Sqlite("/a/b.db".into())));
        assert_eq!(read("sqlite://./b.db"), Ok(Location::Sqlite("./b.db".into())));
    }

    #[test]
    fn other_addresses_are_refused_without_their_password() {
        for address in
            ["", "a.db", "sqlite:a.db", "sqlite://", "sqlite:///a/", "sqlite:///a?mode=ro"]
        {
            assert!(address.parse::<Location>().is_err(), "{address}");
        }
        for address in [
            "oracle://me:secret@host/db",
            "postgres://me:secret@host",
            "postgres://me:secret@host/a/b",
            "postgres://me:secret@host/db?sslmode=sometimes",
            "mysql://me:secret@host/db?colour=red",
            "mysql://me:secret@:99999/db",
        ] {
            let error = address.parse::<Location>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
