//! One transaction for a batch of changes: a query that locks and reads what they expect, a
//! statement that writes all rows, and a look whether a place in a stream was taken meanwhile.

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
use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Row};

/// A connection that writes.
#[derive(Debug)]
pub(crate) struct Writing {
    connection: PgConnection,
}

impl Session for Writing {
    type Target = Target;
    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(target: &Target) -> Result<Self, BackendError> {
        Ok(Self { connection: target.writing().await? })
    }

    async fn commit(
        &mut self,
        batch: &[&ChangeRows],
        keys: &Keys,
        shard: u16,
    ) -> Result<Answers, Failure> {
        let connection = &mut self.connection;
        connection.execute("BEGIN").await?;
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

/// Reads what is stored of all that a batch touches. Rows that may be written are locked first,
/// in an order that is the same for all.
async fn look_up(connection: &mut PgConnection, keys: &Keys) -> Result<Vec<Found>, Failure> {
    let (mut locked, mut found) = (Vec::new(), Vec::new());
    for (index, (place, _)) in keys.places().enumerate() {
        let (number, parameter) = (place.number(), index + 1);
        let pairs = format!("jsonb_array_elements(${parameter}::jsonb) AS j");
        match place {
            Place::Records(_) | Place::Tickets => {
                let (table, rest) = match place {
                    Place::Records(kind) => (kind.name(), "NULL::text, NULL::bigint, NULL::bigint"),
                    _ => ("ticket", "stage, attempt, token"),
                };
                let columns = ["stage", "attempt", "token"];
                let rest =
                    rest.split(", ").zip(columns).map(|(it, name)| format!("{it} AS {name}"));
                locked.push(format!(
                    "t{number} AS (SELECT id, version, {} FROM \"{table}\" WHERE id = ANY (ARRAY(\
                     SELECT jsonb_array_elements_text(${parameter}::jsonb))) ORDER BY id \
                     FOR NO KEY UPDATE)",
                    rest.collect::<Vec<_>>().join(", ")
                ));
                found.push(format!(
                    "SELECT {number}::bigint, id, stage, NULL::text, NULL::text, version, \
                     attempt, token FROM t{number}"
                ));
            }
            Place::Events => found.extend(["event_inbox", "event_log"].map(|table| {
                format!(
                    "SELECT {number}::bigint, e.stream, NULL, NULL, NULL, e.sequence, NULL, NULL \
                     FROM {pairs} JOIN {table} AS e \
                     ON e.stream = j ->> 0 AND e.sequence = (j ->> 1)::bigint"
                )
            })),
            Place::Requests => found.push(format!(
                "SELECT {number}::bigint, r.merchant, r.id, r.fingerprint, r.outcome, r.at, \
                 NULL, NULL FROM {pairs} JOIN request AS r \
                 ON r.merchant = j ->> 0 AND r.id = j ->> 1"
            )),
        }
    }
    let locked = match locked.as_slice() {
        [] => String::new(),
        locked => format!("WITH {} ", locked.join(", ")),
    };
    let statement = format!("{locked}{}", found.join(" UNION ALL "));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for (_, keys) in keys.places() {
        query = query.bind(keys);
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| found_in(row).map_err(Failure::from)).collect()
}

fn found_in(row: &PgRow) -> sqlx::Result<Found> {
    Ok(Found {
        place: row.try_get(0)?,
        key: row.try_get(1)?,
        texts: [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?],
        number: row.try_get(5)?,
        attempt: row.try_get(6)?,
        token: row.try_get(7)?,
    })
}

/// Columns of a table that a JSON array holds in this order; those of numbers end with `#`.
const RECORD: &[&str] =
    &["id", "merchant", "facility", "version#", "state", "created_at#", "updated_at#", "document"];
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
    "document",
];
const COUNT: &[&str] = &["lane", "class", "merchant", "kind", "stage", "count#"];
const EVENT: &[&str] =
    &["merchant", "stream", "sequence#", "kind", "subject", "data", "at#", "trace"];
const REQUEST: &[&str] = &["merchant", "id", "fingerprint", "outcome", "at#"];

fn names(columns: &[&str]) -> String {
    let names = columns.iter().map(|column| column.trim_end_matches('#'));
    names.collect::<Vec<_>>().join(", ")
}

fn value(index: usize, column: &str) -> String {
    let cast = if column.ends_with('#') { "::bigint" } else { "" };
    format!("(j.v ->> {index}){cast}")
}

fn values(columns: &[&str]) -> String {
    let values = columns.iter().enumerate().map(|(index, column)| value(index, column));
    values.collect::<Vec<_>>().join(", ")
}

/// A statement of several parts, each of which writes the rows of a parameter.
#[derive(Default)]
struct Script {
    parts: Vec<String>,
    parameters: Vec<String>,
}

impl Script {
    fn rows(&mut self, rows: String) -> String {
        self.parameters.push(rows);
        let parameter = self.parameters.len();
        format!("jsonb_array_elements(${parameter}::jsonb) WITH ORDINALITY AS j (v, n)")
    }

    fn insert(&mut self, table: &str, columns: &[&str], rows: Option<String>) {
        if let Some(rows) = rows {
            let (rows, names, values) = (self.rows(rows), names(columns), values(columns));
            self.parts.push(format!(
                "INSERT INTO \"{table}\" ({names}) SELECT {values} FROM {rows} ORDER BY j.n"
            ));
        }
    }

    fn write(&mut self, table: &str, columns: &[&str], rows: Rows) {
        self.insert(table, columns, rows.new);
        if let Some(rows) = rows.changed {
            let rows = self.rows(rows);
            let sets = columns.iter().enumerate().skip(1).map(|(index, column)| {
                format!("{} = {}", column.trim_end_matches('#'), value(index, column))
            });
            let sets = sets.collect::<Vec<_>>().join(", ");
            self.parts.push(format!(
                "UPDATE \"{table}\" AS t SET {sets} FROM {rows} WHERE t.id = j.v ->> 0"
            ));
        }
    }

    fn count(&mut self, counts: Option<String>, shard: u16) {
        if let Some(rows) = counts {
            let (rows, names, values) = (self.rows(rows), names(COUNT), values(COUNT));
            self.parts.push(format!(
                "INSERT INTO ticket_counter AS c ({names}, shard) \
                 SELECT {values}, {shard} FROM {rows} ORDER BY j.n \
                 ON CONFLICT (lane, class, merchant, kind, stage, shard) \
                 DO UPDATE SET count = c.count + excluded.count"
            ));
        }
    }
}

async fn write(connection: &mut PgConnection, writes: Writes, shard: u16) -> Result<(), Failure> {
    let mut script = Script::default();
    for (kind, rows) in writes.records {
        script.write(kind.name(), RECORD, rows);
    }
    script.write("ticket", TICKET, writes.tickets);
    script.count(writes.counts, shard);
    script.insert("event_inbox", EVENT, writes.events);
    script.insert("request", REQUEST, writes.requests);
    let Some(last) = script.parts.pop() else { return Ok(()) };
    let before: Vec<String> = script
        .parts
        .iter()
        .enumerate()
        .map(|(index, part)| format!("w{index} AS ({part})"))
        .collect();
    let statement = match before.as_slice() {
        [] => last,
        before => format!("WITH {} {last}", before.join(", ")),
    };
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for rows in script.parameters {
        query = query.bind(rows);
    }
    query.execute(connection).await?;
    Ok(())
}

/// The inbox takes a place once. One that was moved to the log after it was looked up is seen
/// here: whoever moved it had to end before the insert into the inbox could.
async fn check_places(connection: &mut PgConnection, events: &str) -> Result<(), Failure> {
    let statement = "SELECT count(*) FROM jsonb_array_elements($1::jsonb) AS j \
                     JOIN event_log AS e ON e.stream = j ->> 0 AND e.sequence = (j ->> 1)::bigint";
    let taken: i64 = sqlx::query(statement).bind(events).fetch_one(connection).await?.try_get(0)?;
    if taken > 0 { Err(Failure::Conflict) } else { Ok(()) }
}
