//! One transaction for a batch of changes: a query that locks and reads what they expect,
//! statements that write all rows, and a look whether a place in a stream was taken meanwhile.

use super::connect::Target;
use super::{error, log};
use crate::dialect::Dialect;
use crate::server::lookup::{Found, Keys, Place, stored};
use crate::server::session::{Answers, Failure, Session};
use crate::server::writes::{Rows, Writes};
use crate::sqlite::change_rows::ChangeRows;
use printmill_backend::BackendError;
use printmill_backend::database::Prunable;
use printmill_domain::Timestamp;
use sea_orm::sqlx::mysql::{MySqlConnection, MySqlRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Row};

/// A connection that writes.
#[derive(Debug)]
pub(crate) struct Writing {
    connection: MySqlConnection,
}

impl Session for Writing {
    type Target = Target;
    const DIALECT: Dialect = Dialect::MySql;

    async fn connect(target: &Target) -> Result<Self, BackendError> {
        Ok(Self { connection: target.connect().await? })
    }

    async fn commit(
        &mut self,
        batch: &[&ChangeRows],
        keys: &Keys,
        shard: u16,
    ) -> Result<Answers, Failure> {
        let connection = &mut self.connection;
        connection.execute("START TRANSACTION").await?;
        let mut stored = stored(look_up(connection, keys).await?)?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut admitted = Vec::with_capacity(batch.len());
        for change in batch {
            answers.push(stored.admit(change).map(|versions| admitted.push((*change, versions))));
        }
        if admitted.is_empty() {
            connection.execute("ROLLBACK").await?;
            return Ok(answers);
        }
        write(connection, Writes::of(&admitted, &stored)?, shard).await?;
        let written: Vec<&ChangeRows> = admitted.iter().map(|(change, _)| *change).collect();
        if let Some(events) = Keys::events_of(&written) {
            check_places(connection, &events).await?;
        }
        connection.execute("COMMIT").await?;
        Ok(answers)
    }

    async fn rollback(&mut self) -> sqlx::Result<()> {
        self.connection.execute("ROLLBACK").await.map(|_| ())
    }

    async fn sequence(&mut self, limit: u32) -> Result<u32, Failure> {
        log::sequence(&mut self.connection, limit).await
    }

    async fn prune(
        &mut self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, Failure> {
        log::prune(&mut self.connection, what, before, limit).await
    }

    async fn tidy_counters(&mut self) -> Result<(), Failure> {
        log::tidy_counters(&mut self.connection).await
    }

    fn is_busy(error: &sqlx::Error) -> bool {
        error::is_busy(error)
    }
}

/// A parameter with ids, and those with pairs of a text and what follows it. Without their own
/// character set, columns would have the database's, and lose what that does not know.
const IDS: &str =
    "JSON_TABLE(?, '$[*]' COLUMNS (a VARCHAR(255) CHARACTER SET utf8mb4 PATH '$')) AS j";
const PLACES: &str = "JSON_TABLE(?, '$[*]' COLUMNS (a VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', b BIGINT PATH '$[1]')) AS j";
const PAIRS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (a VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', b VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[1]')) AS j";

/// Reads what is stored of all that a batch touches. Rows that may be written are locked, in the
/// order of the keys, which is the same for all.
async fn look_up(connection: &mut MySqlConnection, keys: &Keys) -> Result<Vec<Found>, Failure> {
    let (mut parts, mut parameters) = (Vec::new(), Vec::new());
    for (place, keys) in keys.places() {
        let number = place.number();
        match place {
            Place::Records(kind) => parts.push(format!(
                "(SELECT {number}, t.id, NULL, NULL, NULL, t.version, NULL, NULL FROM {IDS} \
                 STRAIGHT_JOIN `{}` AS t ON t.id = j.a FOR UPDATE)",
                kind.name()
            )),
            Place::Tickets => parts.push(format!(
                "(SELECT {number}, t.id, t.stage, NULL, NULL, t.version, t.attempt, t.token \
                 FROM {IDS} STRAIGHT_JOIN ticket AS t ON t.id = j.a FOR UPDATE)"
            )),
            Place::Events => {
                parts.extend(["event_inbox", "event_log"].map(|table| {
                    format!(
                        "(SELECT {number}, e.stream, NULL, NULL, NULL, e.sequence, NULL, NULL \
                         FROM {PLACES} STRAIGHT_JOIN {table} AS e \
                         ON e.stream = j.a AND e.sequence = j.b)"
                    )
                }));
                parameters.push(keys);
            }
            Place::Requests => parts.push(format!(
                "(SELECT {number}, r.merchant, r.id, r.fingerprint, r.outcome, r.at, NULL, NULL \
                 FROM {PAIRS} STRAIGHT_JOIN request AS r ON r.merchant = j.a AND r.id = j.b)"
            )),
        }
        parameters.push(keys);
    }
    let mut query = sqlx::query(AssertSqlSafe(parts.join(" UNION ALL ")));
    for keys in parameters {
        query = query.bind(keys);
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| found_in(row).map_err(Failure::from)).collect()
}

fn found_in(row: &MySqlRow) -> sqlx::Result<Found> {
    Ok(Found {
        place: row.try_get_unchecked(0)?,
        key: row.try_get_unchecked(1)?,
        texts: [row.try_get_unchecked(2)?, row.try_get_unchecked(3)?, row.try_get_unchecked(4)?],
        number: row.try_get_unchecked(5)?,
        attempt: row.try_get_unchecked(6)?,
        token: row.try_get_unchecked(7)?,
    })
}

/// Columns of a table that a JSON array holds in this order; those of numbers end with `#`, those
/// of long texts with `+`.
const RECORD: &[&str] =
    &["id", "merchant", "facility", "version#", "state", "created_at#", "updated_at#", "document+"];
const TICKET: &[&str] = &[
    "id",
    "merchant",
    "lane",
    "kind",
    "state",
    "attempt#",
    "token#",
    "lease_until#",
    "due_at#",
    "sent_at#",
    "version#",
    "created_at#",
    "class",
    "stage",
    "document+",
];
const COUNT: &[&str] = &["lane", "class", "merchant", "kind", "stage", "count#"];
const EVENT: &[&str] =
    &["merchant", "stream", "sequence#", "kind", "subject", "data+", "at#", "trace+"];
const REQUEST: &[&str] = &["merchant", "id", "fingerprint+", "outcome+", "at#"];

fn name(column: &str) -> String {
    format!("`{}`", column.trim_end_matches(['#', '+']))
}

fn names(columns: &[&str]) -> String {
    columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(", ")
}

/// The parameter's rows, as columns `v0`, `v1`, …, and those columns. What does not fit a column
/// is an error, never cut off.
fn rows(columns: &[&str]) -> (String, String) {
    let column = |(index, column): (usize, &&str)| {
        let kind = match column.chars().last() {
            Some('#') => "BIGINT",
            Some('+') => "LONGTEXT CHARACTER SET utf8mb4",
            _ => "VARCHAR(1024) CHARACTER SET utf8mb4",
        };
        format!("v{index} {kind} PATH '$[{index}]' ERROR ON ERROR")
    };
    let defined: Vec<String> = columns.iter().enumerate().map(column).collect();
    let values: Vec<String> = (0..columns.len()).map(|index| format!("j.v{index}")).collect();
    let table =
        format!("JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, {})) AS j", defined.join(", "));
    (table, values.join(", "))
}

async fn insert(
    connection: &mut MySqlConnection,
    table: &str,
    columns: &[&str],
    new: Option<String>,
) -> Result<(), Failure> {
    let Some(new) = new else { return Ok(()) };
    let ((rows, values), names) = (rows(columns), names(columns));
    let statement =
        format!("INSERT INTO `{table}` ({names}) SELECT {values} FROM {rows} ORDER BY j.n");
    sqlx::query(AssertSqlSafe(statement)).bind(new).execute(connection).await?;
    Ok(())
}

/// Rows that changed are there and locked: they only ever take their own place.
async fn put(
    connection: &mut MySqlConnection,
    table: &str,
    columns: &[&str],
    written: Rows,
) -> Result<(), Failure> {
    insert(connection, table, columns, written.new).await?;
    let Some(changed) = written.changed else { return Ok(()) };
    let ((rows, values), names) = (rows(columns), names(columns));
    let sets = columns.iter().skip(1).map(|column| {
        let name = name(column);
        format!("{name} = VALUES({name})")
    });
    let sets = sets.collect::<Vec<_>>().join(", ");
    let statement = format!(
        "INSERT INTO `{table}` ({names}) SELECT {values} FROM {rows} ORDER BY j.n \
         ON DUPLICATE KEY UPDATE {sets}"
    );
    sqlx::query(AssertSqlSafe(statement)).bind(changed).execute(connection).await?;
    Ok(())
}

async fn write(
    connection: &mut MySqlConnection,
    writes: Writes,
    shard: u16,
) -> Result<(), Failure> {
    for (kind, rows) in writes.records {
        put(connection, kind.name(), RECORD, rows).await?;
    }
    put(connection, "ticket", TICKET, writes.tickets).await?;
    if let Some(counts) = writes.counts {
        let ((rows, values), names) = (rows(COUNT), names(COUNT));
        let statement = format!(
            "INSERT INTO ticket_counter ({names}, shard) SELECT {values}, {shard} FROM {rows} \
             ORDER BY j.n ON DUPLICATE KEY UPDATE \
             `count` = ticket_counter.`count` + VALUES(`count`)"
        );
        sqlx::query(AssertSqlSafe(statement)).bind(counts).execute(&mut *connection).await?;
    }
    insert(connection, "event_inbox", EVENT, writes.events).await?;
    insert(connection, "request", REQUEST, writes.requests).await?;
    let counted = "INSERT INTO commit_counter (shard, `count`) VALUES (?, 1) \
                   ON DUPLICATE KEY UPDATE `count` = `count` + 1";
    sqlx::query(counted).bind(shard).execute(connection).await?;
    Ok(())
}

/// The inbox takes a place once. One that was moved to the log after it was looked up is seen
/// here: whoever moved it had to end before the insert into the inbox could.
async fn check_places(connection: &mut MySqlConnection, events: &str) -> Result<(), Failure> {
    let statement = format!(
        "SELECT count(*) FROM {PLACES} STRAIGHT_JOIN event_log AS e \
         ON e.stream = j.a AND e.sequence = j.b"
    );
    let query = sqlx::query(AssertSqlSafe(statement)).bind(events);
    let taken: i64 = query.fetch_one(connection).await?.try_get(0)?;
    if taken > 0 { Err(Failure::Conflict) } else { Ok(()) }
}
