//! Addresses of databases and queues: which dialect, and where.

use printmill_backend::{BackendError, Fault};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a database or queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// An address that names no database or queue that this adapter can open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{address}' is not an address of a SQL database: {reason}")]
pub struct InvalidAddress {
    /// What was given, without what may hold a password.
    pub address: String,
    /// Why, and what to write instead.
    pub reason: &'static str,
}

impl FromStr for Location {
    type Err = InvalidAddress;

    /// Reads `sqlite:///absolute/path.db` or `sqlite://./relative/path.db`.
    fn from_str(address: &str) -> Result<Self, InvalidAddress> {
        let invalid = |reason| {
            let shown = address.rsplit_once('@').map_or(address, |(_, after)| after);
            InvalidAddress { address: shown.chars().take(200).collect(), reason }
        };
        let (scheme, path) = address
            .split_once("://")
            .ok_or_else(|| invalid("write sqlite:///absolute/path.db or sqlite://./path.db"))?;
        if scheme != "sqlite" {
            return Err(invalid("only sqlite:// is supported"));
        }
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
}

impl From<InvalidAddress> for BackendError {
    fn from(error: InvalidAddress) -> Self {
        BackendError::new(Fault::Rejected, "sql", "read an address", error.reason).because(error)
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
        let error = "postgres://me:secret@host/db".parse::<Location>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
