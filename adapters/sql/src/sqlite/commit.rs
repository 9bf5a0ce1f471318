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
use std::sync::LazyLock;

const OPERATION: &str = "commit a change";

/// How a batch went: an answer for each change, in order.
pub(crate) type Answers = Vec<Result<(), CommitError>>;

/// Where the parameters after the kinds are.
const TICKETS: usize = Kind::ALL.len() + 1;
const EVENTS: usize = TICKETS + 1;
const REQUESTS: usize = EVENTS + 1;
const HEAD: usize = REQUESTS + 1;
const COUNTS: usize = HEAD + 1;

/// Begins a transaction and looks up what is stored of all that a batch touches.
///
/// Every row says in its first column which parameter asked for it.
static LOOK_UP: LazyLock<String> = LazyLock::new(|| {
    let mut parts: Vec<String> = Vec::new();
    for (index, kind) in Kind::ALL.iter().enumerate() {
        let number = index + 1;
        parts.push(format!(
            "SELECT {number}, id, NULL, NULL, NULL, version, NULL, NULL FROM \"{}\" \
             WHERE id IN (SELECT value FROM json_each(${number}))",
            kind.name()
        ));
    }
    parts.push(format!(
        "SELECT {TICKETS}, id, stage, NULL, NULL, version, attempt, token FROM ticket \
         WHERE id IN (SELECT value FROM json_each(${TICKETS}))"
    ));
    parts.push(format!(
        "SELECT {EVENTS}, e.stream, NULL, NULL, NULL, e.sequence, NULL, NULL \
         FROM json_each(${EVENTS}) AS j CROSS JOIN event_log AS e \
         ON e.stream = j.value ->> 0 AND e.sequence = j.value ->> 1"
    ));
    parts.push(format!(
        "SELECT {REQUESTS}, r.merchant, r.id, r.fingerprint, r.outcome, r.at, NULL, NULL \
         FROM json_each(${REQUESTS}) AS j CROSS JOIN request AS r \
         ON r.merchant = j.value ->> 0 AND r.id = j.value ->> 1"
    ));
    parts.push(format!(
        "SELECT {HEAD}, '', NULL, NULL, NULL, coalesce(max(seq), 0), NULL, \
         (SELECT latest FROM event_log ORDER BY seq DESC LIMIT 1) FROM event_log"
    ));
    format!("BEGIN IMMEDIATE; {}", parts.join(" UNION ALL "))
});

/// Writes all rows and commits.
static APPLY: LazyLock<String> = LazyLock::new(|| {
    let mut script = String::new();
    for (index, kind) in Kind::ALL.iter().enumerate() {
        let columns =
            ["merchant", "facility", "version", "state", "created_at", "updated_at", "document"];
        script.push_str(&upsert(kind.name(), &columns, index + 1));
    }
    let columns = [
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
    script.push_str(&upsert("ticket", &columns, TICKETS));
    script.push_str(&format!(
        "INSERT INTO ticket_count (lane, class, merchant, kind, stage, count) \
         SELECT {} FROM json_each(${COUNTS}) WHERE true \
         ON CONFLICT DO UPDATE SET count = count + excluded.count; \
         DELETE FROM ticket_count WHERE count = 0;",
        values(6)
    ));
    script.push_str(&format!(
        "INSERT INTO event_log (seq, merchant, stream, sequence, kind, subject, data, at, trace, \
         latest) SELECT ${HEAD} + key + 1, {} FROM json_each(${EVENTS});",
        values(9)
    ));
    script.push_str(&format!(
        "INSERT INTO request (merchant, id, fingerprint, outcome, at) \
         SELECT {} FROM json_each(${REQUESTS});",
        values(5)
    ));
    script.push_str("COMMIT");
    script
});

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
    let mut keys: Vec<JsonArray> = (0..REQUESTS).map(|_| JsonArray::new()).collect();
    for change in batch {
        for record in &change.records {
            keys[parameter_of(record.kind) - 1].push_row(&record.id);
        }
        for ticket in &change.tickets {
            keys[TICKETS - 1].push_row(&ticket.ticket.id);
        }
        for event in &change.events {
            keys[EVENTS - 1].push_row(&(&event.stream, event.sequence));
        }
        if let Some(row) = &change.request {
            keys[REQUESTS - 1].push_row(&(&change.merchant, &row.request.id));
        }
    }
    let mut query = sqlx::query(LOOK_UP.as_str());
    for array in keys {
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
    let mut rows: Vec<JsonArray> = (0..REQUESTS).map(|_| JsonArray::new()).collect();
    for (change, versions) in admitted {
        for record in &change.records {
            rows[parameter_of(record.kind) - 1].push(&record.row);
        }
        for (ticket, version) in change.tickets.iter().zip(versions) {
            rows[TICKETS - 1].push(&ticket.row(*version).map_err(Failure::Backend)?);
        }
        for event in &change.events {
            latest = latest.max(event.at);
            rows[EVENTS - 1].push(&event.row(latest));
        }
        if let Some(request) = &change.request {
            rows[REQUESTS - 1].push(&request.row);
        }
    }
    let mut query = sqlx::query(APPLY.as_str());
    for array in rows {
        query = query.bind(array.finish());
    }
    let mut counts = JsonArray::new();
    for ((of, stage), by) in stored.counts.iter().filter(|(_, by)| **by != 0) {
        let Sort { lane, class, merchant, kind } = of;
        counts.push_row(&(lane, class.name(), merchant, kind, stage.name(), by));
    }
    query.bind(stored.head).bind(counts.finish()).execute(&mut *connection).await?;
    Ok(())
}

/// The number of the parameter with the records of a kind, from 1.
fn parameter_of(kind: Kind) -> usize {
    Kind::ALL.iter().position(|it| *it == kind).unwrap_or_default() + 1
}
