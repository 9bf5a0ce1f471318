//! What MySQL's error numbers mean to the caller.

use crate::server_address::ServerAddress;
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx;
use sea_orm::sqlx::mysql::MySqlDatabaseError;

/// What kind of failure an error of the server is, by its number.
pub(crate) fn fault(error: &MySqlDatabaseError) -> Fault {
    of_number(error.number())
}

fn of_number(number: u16) -> Fault {
    match number {
        // Too many connections, a server that stops, lost connections, others' locks, limits.
        1040
        | 1053
        | 1077..=1081
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1205
        | 1213
        | 1317
        | 1969
        | 3024
        | 3168
        | 3572
        | 1927
        | 2006
        | 2013 => Fault::Unavailable,
        1290 | 1792 | 1836 => Fault::ReadOnly,
        3 | 28 | 1021 | 1114 => Fault::Full,
        1153 | 1264 | 1301 | 1366 | 1406 | 3140 | 4038 => Fault::Rejected,
        126 | 127 | 134 | 144 | 145 | 1034 | 1194 | 1712 => Fault::Corrupt,
        _ => Fault::Other,
    }
}

/// Whether the server undid a transaction or gave up waiting because of another.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| matches!(number, 1020 | 1205 | 1213))
}

/// Whether a table is not there.
pub(crate) fn is_missing(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| matches!(number, 1146 | 1932))
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// Why a server cannot be used, and what to change.
pub(crate) fn opening(address: &ServerAddress, error: sqlx::Error) -> BackendError {
    let where_to = address.shown();
    let user = &address.user;
    let (fault, detail) = match number(&error) {
        Some(1045 | 1130 | 1698 | 1251) => (
            Fault::Rejected,
            format!(
                "{where_to} does not let user '{user}' in: check the user and password in the \
                 address, and from which hosts the server lets them connect"
            ),
        ),
        Some(1044 | 1142 | 1049) => (
            Fault::Rejected,
            format!(
                "{where_to} does not exist or is not for user '{user}': create it, grant them all \
                 rights to it, or change the database in the address"
            ),
        ),
        Some(number) => (of_number(number), format!("{where_to} refuses")),
        None => crate::server_address::unreachable(address, &error),
    };
    BackendError::new(fault, "mysql", "open the database", detail).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart() {
        let cases = [
            (1213, Fault::Unavailable),
            (1040, Fault::Unavailable),
            (1114, Fault::Full),
            (1290, Fault::ReadOnly),
            (1406, Fault::Rejected),
            (1194, Fault::Corrupt),
            (1062, Fault::Other),
        ];
        for (number, fault) in cases {
            assert_eq!(of_number(number), fault, "number {number}");
        }
    }
}
