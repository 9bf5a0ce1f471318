//! The log's numbers, and what is deleted when it is old.

use crate::server::session::Failure;
use printmill_backend::database::Prunable;
use printmill_domain::Timestamp;
use printmill_domain::worker::GONE;
use sea_orm::sqlx::mysql::MySqlConnection;
use sea_orm::sqlx::{self, Executor, Row};

/// Waits for whoever else numbers, so that the next statement sees what that one did.
const LOCK: &str = "SELECT seq, latest FROM event_head WHERE id = 1 FOR UPDATE";
/// Read without locks: what is not committed yet is not waited for.
const WAITING: &str = "SELECT id FROM event_inbox ORDER BY id LIMIT ?";
const IDS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) AS j";

/// Moves the first events of the inbox to the end of the log.
///
/// What is in the inbox was committed, and an event that follows another in its stream was
/// inserted after that one was committed: the order of ids keeps the order of each stream.
pub(crate) async fn sequence(connection: &mut MySqlConnection, limit: u32) -> Result<u32, Failure> {
    // An empty inbox costs no transaction.
    let waiting = "SELECT id FROM event_inbox LIMIT 1";
    if connection.fetch_optional(waiting).await?.is_none() {
        return Ok(0);
    }
    connection.execute("START TRANSACTION").await?;
    let head = connection.fetch_one(LOCK).await?;
    let (seq, latest): (i64, i64) = (head.try_get(0)?, head.try_get(1)?);
    let rows = sqlx::query(WAITING).bind(limit).fetch_all(&mut *connection).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
    let count = i64::try_from(ids.len()).unwrap_or_default();
    if count > 0 {
        let ids = serde_json::Value::from(ids).to_string();
        let moving = format!(
            "INSERT INTO event_log \
             (seq, merchant, stream, sequence, kind, subject, data, at, trace, latest) \
             SELECT ? + row_number() OVER (ORDER BY i.id), i.merchant, i.stream, i.sequence, \
             i.kind, i.subject, i.data, i.at, i.trace, \
             greatest(?, max(i.at) OVER (ORDER BY i.id)) \
             FROM {IDS} STRAIGHT_JOIN event_inbox AS i ON i.id = j.id"
        );
        let moving = sqlx::query(sqlx::AssertSqlSafe(moving)).bind(seq).bind(latest).bind(&ids);
        moving.execute(&mut *connection).await?;
        let taken = format!("DELETE i FROM {IDS} STRAIGHT_JOIN event_inbox AS i ON i.id = j.id");
        sqlx::query(sqlx::AssertSqlSafe(taken)).bind(&ids).execute(&mut *connection).await?;
        let head = "UPDATE event_head SET seq = ?, latest = \
                    (SELECT latest FROM event_log WHERE seq = ?) WHERE id = 1";
        let head = sqlx::query(head).bind(seq + count).bind(seq + count);
        head.execute(&mut *connection).await?;
        // Other processes can read them only now.
        let counted = "INSERT INTO commit_counter (shard, `count`) VALUES (-1, 1) \
                       ON DUPLICATE KEY UPDATE `count` = `count` + 1";
        connection.execute(counted).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// When a ticket was settled is in its document only; it was due before that, so the documents of
/// young ones are not looked into.
const DONE_TICKETS: &str = "DELETE FROM ticket WHERE state = 'done' AND due_at < ? \
    AND substr(json_unquote(json_extract(document, '$.updated_at')), 1, 19) < ? \
    ORDER BY due_at LIMIT ?";

/// Deletes up to `limit` rows that are old; how many it were.
pub(crate) async fn prune(
    connection: &mut MySqlConnection,
    what: Prunable,
    before: Timestamp,
    limit: u32,
) -> Result<u32, Failure> {
    let second = before.timestamp();
    let micros = second.saturating_mul(1_000_000);
    let deleted = match what {
        Prunable::Requests => {
            let statement = "DELETE FROM request WHERE at < ? ORDER BY at LIMIT ?";
            sqlx::query(statement).bind(micros).bind(limit).execute(connection).await?
        }
        Prunable::DoneTickets => {
            let second = Timestamp::from_timestamp(second, 0).unwrap_or_default();
            let second = second.format("%Y-%m-%dT%H:%M:%S").to_string();
            let query = sqlx::query(DONE_TICKETS).bind(micros).bind(second).bind(limit);
            query.execute(connection).await?
        }
        Prunable::GoneWorkers => {
            let statement = "DELETE FROM worker WHERE state = ? AND updated_at < ? LIMIT ?";
            let query = sqlx::query(statement).bind(GONE).bind(micros).bind(limit);
            query.execute(connection).await?
        }
        Prunable::Events => {
            let first = "SELECT seq, at FROM event_log \
                         WHERE seq < (SELECT max(seq) FROM event_log) ORDER BY seq LIMIT ?";
            let rows = sqlx::query(first).bind(limit).fetch_all(&mut *connection).await?;
            let mut last = None;
            for row in rows {
                let (seq, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                if at >= micros {
                    break;
                }
                last = Some(seq);
            }
            let Some(last) = last else { return Ok(0) };
            let statement = "DELETE FROM event_log WHERE seq <= ?";
            sqlx::query(statement).bind(last).execute(connection).await?
        }
    };
    Ok(u32::try_from(deleted.rows_affected()).unwrap_or(u32::MAX))
}

/// Sorts that count nothing.
const EMPTY: &str = "SELECT lane, class, merchant, kind, stage FROM ticket_counter \
    GROUP BY lane, class, merchant, kind, stage HAVING sum(`count`) = 0 \
    ORDER BY lane, class, merchant, kind, stage LIMIT 50";
const OF_SORT: &str = "lane = ? AND class = ? AND merchant = ? AND kind = ? AND stage = ?";

/// Removes counters that count nothing: takes their rows out, and puts back what they had come to
/// count meanwhile. No row that is locked can move.
pub(crate) async fn tidy_counters(connection: &mut MySqlConnection) -> Result<(), Failure> {
    let rows = connection.fetch_all(EMPTY).await?;
    for row in rows {
        let mut sort: Vec<String> = Vec::with_capacity(5);
        for index in 0..5 {
            sort.push(row.try_get(index)?);
        }
        connection.execute("START TRANSACTION").await?;
        tidy(connection, &sort).await?;
        connection.execute("COMMIT").await?;
    }
    Ok(())
}

async fn tidy(connection: &mut MySqlConnection, sort: &[String]) -> Result<(), Failure> {
    let of_sort = |statement: String| {
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        sort.iter().fold(query, |query, part| query.bind(part.clone()))
    };
    let held = format!(
        "SELECT shard, `count` FROM ticket_counter WHERE {OF_SORT} ORDER BY shard FOR UPDATE"
    );
    let mut total = 0_i64;
    for row in of_sort(held).fetch_all(&mut *connection).await? {
        let (shard, count): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
        total += count;
        let gone = format!("DELETE FROM ticket_counter WHERE {OF_SORT} AND shard = {shard}");
        of_sort(gone).execute(&mut *connection).await?;
    }
    if total != 0 {
        // Its shard is no writer's, so that nobody's row is in the way.
        let back = "INSERT INTO ticket_counter \
                    (lane, class, merchant, kind, stage, shard, `count`) \
                    VALUES (?, ?, ?, ?, ?, -1, ?) \
                    ON DUPLICATE KEY UPDATE `count` = `count` + VALUES(`count`)";
        of_sort(back.into()).bind(total).execute(&mut *connection).await?;
    }
    Ok(())
}
