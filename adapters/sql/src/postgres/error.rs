//! What PostgreSQL's error codes mean to the caller.

use crate::server_address::ServerAddress;
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx;
use sea_orm::sqlx::postgres::PgDatabaseError;

/// What kind of failure an error of the server is, by its SQLSTATE.
pub(crate) fn fault(error: &PgDatabaseError) -> Fault {
    of_state(error.code())
}

fn of_state(state: &str) -> Fault {
    match state {
        // Somebody else's turn, or too much to do; also a server that stops or starts.
        "40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" => {
            Fault::Unavailable
        }
        "25006" => Fault::ReadOnly,
        "53100" => Fault::Full,
        // Too long, too much for an index, characters that cannot be stored.
        "22001" | "22021" | "22P05" | "54000" => Fault::Rejected,
        "XX001" | "XX002" => Fault::Corrupt,
        _ if state.starts_with("08") || state.starts_with("53") => Fault::Unavailable,
        _ => Fault::Other,
    }
}

/// Whether the server undid a transaction because of another.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| matches!(state.as_str(), "40001" | "40P01" | "55P03"))
}

/// Whether something that should be there is not: a table, or what a table lies in.
pub(crate) fn is_missing(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| matches!(state.as_str(), "42P01" | "3F000"))
}

fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// Why a server cannot be used, and what to change.
pub(crate) fn opening(address: &ServerAddress, error: sqlx::Error) -> BackendError {
    let where_to = address.shown();
    let user = &address.user;
    let (fault, detail) = match state(&error).as_deref() {
        Some("28P01" | "28000") => (
            Fault::Rejected,
            format!(
                "{where_to} does not let user '{user}' in: check the user and password in the \
                 address, and the server's pg_hba.conf"
            ),
        ),
        Some("3D000") => (
            Fault::Rejected,
            format!("{where_to} does not exist: create it, or change the database in the address"),
        ),
        Some("42501") => (
            Fault::Rejected,
            format!(
                "user '{user}' may not do that in {where_to}: let them create tables, or name the \
                 database's owner in the address"
            ),
        ),
        Some(code) => (of_state(code), format!("{where_to} refuses")),
        None => crate::server_address::unreachable(address, &error),
    };
    BackendError::new(fault, "postgres", "open the database", detail).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        let cases = [
            ("40P01", Fault::Unavailable),
            ("08006", Fault::Unavailable),
            ("53300", Fault::Unavailable),
            ("53100", Fault::Full),
            ("57P01", Fault::Unavailable),
            ("25006", Fault::ReadOnly),
            ("22001", Fault::Rejected),
            ("XX001", Fault::Corrupt),
            ("23505", Fault::Other),
        ];
        for (state, fault) in cases {
            assert_eq!(of_state(state), fault, "state {state}");
        }
    }
}
