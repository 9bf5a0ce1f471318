//! One transaction for a whole batch of changes: one query that looks up what they expect, and
//! one script that writes those let through.

use super::change_rows::{ChangeRows, Holding};
use super::decide::{Sort, Stored};
use super::json_array::JsonArray;
use crate::error;
use chrono::DateTime;
use printmill_backend::{BackendError, CommitError, RequestRecord};
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::ticket::Stage;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteRow};
use sea_orm::sqlx::{self, Row};
use std::collections::BTreeMap;

const OPERATION: &str = "commit a change";

/// How a batch went: an answer for each change, in order.
pub(crate) type Answers = Vec<Result<(), CommitError>>;

/// What a batch touches, by number: the kinds of records come first, from 1.
const TICKETS: usize = Kind::ALL.len() + 1;
const EVENTS: usize = TICKETS + 1;
const REQUESTS: usize = EVENTS + 1;
const HEAD: usize = REQUESTS + 1;

/// Begins a transaction and looks up what is stored of all that a batch touches; each of it has a
/// parameter, in order. What it does not touch is not in the script: most batches are of few sorts.
///
/// Every row says in its first column what it is.
fn look_up_script(touched: &[usize]) -> String {
    let mut parts = Vec::with_capacity(touched.len() + 1);
    for (place, parameter) in touched.iter().zip(1..) {
        parts.push(match *place {
            TICKETS => format!(
                "SELECT {TICKETS}, id, stage, NULL, NULL, version, attempt, token FROM ticket \
                 WHERE id IN (SELECT value FROM json_each(${parameter}))"
            ),
            EVENTS => format!(
                "SELECT {EVENTS}, e.stream, NULL, NULL, NULL, e.sequence, NULL, NULL \
                 FROM json_each(${parameter}) AS j CROSS JOIN event_log AS e \
                 ON e.stream = j.value ->> 0 AND e.sequence = j.value ->> 1 UNION ALL \
                 SELECT {HEAD}, '', NULL, NULL, NULL, coalesce(max(seq), 0), NULL, \
                 (SELECT latest FROM event_log ORDER BY seq DESC LIMIT 1) FROM event_log"
            ),
            REQUESTS => format!(
                "SELECT {REQUESTS}, r.merchant, r.id, r.fingerprint, r.outcome, r.at, NULL, NULL \
                 FROM json_each(${parameter}) AS j CROSS JOIN request AS r \
                 ON r.merchant = j.value ->> 0 AND r.id = j.value ->> 1"
            ),
            kind => format!(
                "SELECT {kind}, id, NULL, NULL, NULL, version, NULL, NULL FROM \"{}\" \
                 WHERE id IN (SELECT value FROM json_each(${parameter}))",
                Kind::ALL[kind - 1].name()
            ),
        });
    }
    format!("BEGIN IMMEDIATE; {}", parts.join(" UNION ALL "))
}

const RECORD_COLUMNS: [&str; 7] =
    ["merchant", "facility", "version", "state", "created_at", "updated_at", "document"];
const TICKET_COLUMNS: [&str; 14] = [
    "merchant",
    "lane",
    "kind",
    "state",
    "attempt",
    "token",
    "lease_until",
    "due_at",
    "sent_at",
    "version",
    "created_at",
    "class",
    "stage",
    "document",
];

/// Writes all rows and commits. The parameters are those of what is written, in order; after that
/// of the tickets comes that of the counters, after that of the events the head.
fn apply_script(written: &[usize]) -> String {
    let (mut script, mut parameter) = (String::new(), 0);
    let mut next = || {
        parameter += 1;
        parameter
    };
    for place in written {
        let rows = next();
        script.push_str(&match *place {
            TICKETS => format!(
                "{} INSERT INTO ticket_count (lane, class, merchant, kind, stage, count) \
                 SELECT {} FROM json_each(${}) WHERE true \
                 ON CONFLICT DO UPDATE SET count = count + excluded.count; \
                 DELETE FROM ticket_count WHERE count = 0;",
                upsert("ticket", &TICKET_COLUMNS, rows),
                values(6),
                next()
            ),
            EVENTS => format!(
                "INSERT INTO event_log \
                 (seq, merchant, stream, sequence, kind, subject, data, at, trace, latest) \
                 SELECT ${} + key + 1, {} FROM json_each(${rows});",
                next(),
                values(9)
            ),
            REQUESTS => format!(
                "INSERT INTO request (merchant, id, fingerprint, outcome, at) \
                 SELECT {} FROM json_each(${rows});",
                values(5)
            ),
            kind => upsert(Kind::ALL[kind - 1].name(), &RECORD_COLUMNS, rows),
        });
    }
    script.push_str("COMMIT");
    script
}

fn values(count: usize) -> String {
    let values: Vec<String> = (0..count).map(|index| format!("value ->> {index}")).collect();
    values.join(", ")
}

fn upsert(table: &str, columns: &[&str], parameter: usize) -> String {
    let sets: Vec<String> =
        columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO \"{table}\" (id, {}) SELECT {} FROM json_each(${parameter}) WHERE true \
         ON CONFLICT (id) DO UPDATE SET {};",
        columns.join(", "),
        values(columns.len() + 1),
        sets.join(", ")
    )
}

/// Commits a batch in one transaction. An error means that nothing of it was applied, as far as
/// can be known.
pub(crate) async fn commit_batch(
    connection: &mut SqliteConnection,
    batch: &[&ChangeRows],
) -> Result<Answers, BackendError> {
    let attempt = commit_in_transaction(connection, batch).await;
    if attempt.is_err() {
        // Without a transaction this fails, which is what it should be: nothing left to undo.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    }
    attempt.map_err(|error| match error {
        Failure::Driver(error) => error::driver(OPERATION, error),
        Failure::Backend(error) => error,
    })
}

enum Failure {
    Driver(sqlx::Error),
    Backend(BackendError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Driver(error)
    }
}

async fn commit_in_transaction(
    connection: &mut SqliteConnection,
    batch: &[&ChangeRows],
) -> Result<Answers, Failure> {
    let mut stored = look_up(connection, batch).await?;
    let mut answers = Vec::with_capacity(batch.len());
    let mut admitted = Vec::with_capacity(batch.len());
    for change in batch {
        answers.push(stored.admit(change).map(|versions| admitted.push((*change, versions))));
    }
    if admitted.is_empty() {
        sqlx::query("ROLLBACK").execute(&mut *connection).await?;
    } else {
        apply(connection, &admitted, &stored).await?;
    }
    Ok(answers)
}

async fn look_up(
    connection: &mut SqliteConnection,
    batch: &[&ChangeRows],
) -> Result<Stored, Failure> {
    let mut keys: BTreeMap<usize, JsonArray> = BTreeMap::new();
    for change in batch {
        for record in &change.records {
            keys.entry(place_of(record.kind)).or_default().push_row(&record.id);
        }
        for ticket in &change.tickets {
            keys.entry(TICKETS).or_default().push_row(&ticket.ticket.id);
        }
        for event in &change.events {
            keys.entry(EVENTS).or_default().push_row(&(&event.stream, event.sequence));
        }
        if let Some(row) = &change.request {
            let key = (&change.merchant, &row.request.id);
            keys.entry(REQUESTS).or_default().push_row(&key);
        }
    }
    let touched: Vec<usize> = keys.keys().copied().collect();
    let mut query = sqlx::query(sqlx::AssertSqlSafe(look_up_script(&touched)));
    for array in keys.into_values() {
        query = query.bind(array.finish());
    }
    let mut stored = Stored::default();
    for row in query.fetch_all(&mut *connection).await? {
        take(&mut stored, &row)?;
    }
    Ok(stored)
}

fn take(stored: &mut Stored, row: &SqliteRow) -> Result<(), Failure> {
    let place: i64 = row.try_get_unchecked(0)?;
    let place = usize::try_from(place).unwrap_or(HEAD);
    let key: String = row.try_get_unchecked(1)?;
    let number: i64 = row.try_get_unchecked(5)?;
    let unsigned = u64::try_from(number).unwrap_or_default();
    match place {
        HEAD => {
            stored.head = number;
            stored.latest = row.try_get_unchecked(7)?;
        }
        EVENTS => {
            stored.events.entry(key).or_default().insert(unsigned);
        }
        REQUESTS => {
            let request = RequestRecord {
                id: row.try_get_unchecked(2)?,
                fingerprint: row.try_get_unchecked(3)?,
                outcome: row.try_get_unchecked(4)?,
                at: DateTime::from_timestamp_micros(number).unwrap_or_default(),
            };
            stored.requests.entry(key).or_default().insert(request.id.clone(), request);
        }
        TICKETS => {
            let id = TicketId::parse(&key)
                .map_err(|error| Failure::Backend(error::corrupt(OPERATION, error.to_string())))?;
            let stage: String = row.try_get_unchecked(2)?;
            let stage = Stage::from_name(&stage).ok_or_else(|| {
                Failure::Backend(error::corrupt(OPERATION, format!("'{stage}' is no stage")))
            })?;
            let attempt: i64 = row.try_get_unchecked(6)?;
            let token: Option<i64> = row.try_get_unchecked(7)?;
            let holding = Holding {
                version: unsigned,
                stage,
                attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
                token: token.map(i64::cast_unsigned),
            };
            stored.tickets.insert(id, holding);
        }
        kind => {
            stored.records.entry(Kind::ALL[kind - 1]).or_default().insert(key, unsigned);
        }
    }
    Ok(())
}

async fn apply(
    connection: &mut SqliteConnection,
    admitted: &[(&ChangeRows, Vec<u64>)],
    stored: &Stored,
) -> Result<(), Failure> {
    let mut latest = stored.latest.unwrap_or(i64::MIN);
    let mut rows: BTreeMap<usize, JsonArray> = BTreeMap::new();
    for (change, versions) in admitted {
        for record in &change.records {
            rows.entry(place_of(record.kind)).or_default().push(&record.row);
        }
        for (ticket, version) in change.tickets.iter().zip(versions) {
            let row = ticket.row(*version).map_err(Failure::Backend)?;
            rows.entry(TICKETS).or_default().push(&row);
        }
        for event in &change.events {
            latest = latest.max(event.at);
            rows.entry(EVENTS).or_default().push(&event.row(latest));
        }
        if let Some(request) = &change.request {
            rows.entry(REQUESTS).or_default().push(&request.row);
        }
    }
    let written: Vec<usize> = rows.keys().copied().collect();
    let mut query = sqlx::query(sqlx::AssertSqlSafe(apply_script(&written)));
    for (place, array) in rows {
        query = query.bind(array.finish());
        match place {
            TICKETS => query = query.bind(counts(stored)),
            EVENTS => query = query.bind(stored.head),
            _ => {}
        }
    }
    query.execute(&mut *connection).await?;
    Ok(())
}

/// How the counters of tickets change.
fn counts(stored: &Stored) -> String {
    let mut counts = JsonArray::new();
    for ((of, stage), by) in stored.counts.iter().filter(|(_, by)| **by != 0) {
        let Sort { lane, class, merchant, kind } = of;
        counts.push_row(&(lane, class.name(), merchant, kind, stage.name(), by));
    }
    counts.finish()
}

/// The number of a kind of records.
fn place_of(kind: Kind) -> usize {
    Kind::ALL.iter().position(|it| *it == kind).unwrap_or_default() + 1
}
