//! The log's numbers, and what is deleted when it is old.

use crate::server::session::Failure;
use printmill_backend::database::Prunable;
use printmill_domain::Timestamp;
use printmill_domain::worker::GONE;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Executor, Row};

/// Waits for whoever else numbers, so that the next statement sees what that one did.
const LOCK: &str = "SELECT seq, latest FROM event_head WHERE id = 1 FOR UPDATE";

/// Moves the first events of the inbox to the end of the log.
///
/// What is in the inbox was committed, and an event that follows another in its stream was
/// inserted after that one was committed: the order of ids keeps the order of each stream.
const MOVE: &str = "
WITH taken AS (
    DELETE FROM event_inbox
    WHERE id = ANY (ARRAY(SELECT id FROM event_inbox ORDER BY id LIMIT $3)) RETURNING *
), numbered AS (
    SELECT $1 + row_number() OVER (ORDER BY id) AS seq,
        greatest($2, max(at) OVER (ORDER BY id)) AS latest, taken.*
    FROM taken
), moved AS (
    INSERT INTO event_log
        (seq, merchant, stream, sequence, kind, subject, data, at, trace, latest)
    SELECT seq, merchant, stream, sequence, kind, subject, data, at, trace, latest
    FROM numbered ORDER BY seq
), head AS (
    UPDATE event_head SET seq = n.seq, latest = n.latest
    FROM (SELECT max(seq) AS seq, max(latest) AS latest FROM numbered) AS n
    WHERE event_head.id = 1 AND n.seq IS NOT NULL
)
SELECT count(*) FROM numbered";

/// Gives up to `limit` events their numbers; how many it were.
pub(crate) async fn sequence(connection: &mut PgConnection, limit: u32) -> Result<u32, Failure> {
    // An empty inbox costs no transaction.
    let waiting = "SELECT EXISTS (SELECT FROM event_inbox)";
    if !sqlx::query(waiting).fetch_one(&mut *connection).await?.try_get(0)? {
        return Ok(0);
    }
    connection.execute("BEGIN").await?;
    let head = sqlx::query(LOCK).fetch_one(&mut *connection).await?;
    let (seq, latest): (i64, i64) = (head.try_get(0)?, head.try_get(1)?);
    let moving = sqlx::query(MOVE).bind(seq).bind(latest).bind(i64::from(limit));
    let moved: i64 = moving.fetch_one(&mut *connection).await?.try_get(0)?;
    connection.execute("COMMIT").await?;
    Ok(u32::try_from(moved).unwrap_or(u32::MAX))
}

const REQUESTS: &str = "
DELETE FROM request WHERE (merchant, id) IN (
    SELECT merchant, id FROM request WHERE at < $1 ORDER BY at LIMIT $2)";

/// When a ticket was settled is in its document only; it was due before that, so the documents of
/// young ones are not looked into.
const DONE_TICKETS: &str = "
DELETE FROM ticket WHERE state = 'done' AND id IN (
    SELECT id FROM ticket WHERE state = 'done' AND due_at < $1
    AND substr(document::json ->> 'updated_at', 1, 19) < $3 ORDER BY due_at LIMIT $2)";

/// The first events up to the first that is young, but never the last.
const EVENTS: &str = "
WITH first AS (
    SELECT seq, at FROM event_log WHERE seq < (SELECT max(seq) FROM event_log)
    ORDER BY seq LIMIT $2
)
DELETE FROM event_log WHERE seq >= (SELECT min(seq) FROM first)
    AND seq <= (SELECT max(seq) FROM first)
    AND seq < coalesce((SELECT min(seq) FROM first WHERE at >= $1), 9223372036854775807)";

/// One that came back meanwhile is looked at again when it is locked, and stays.
const GONE_WORKERS: &str = "
DELETE FROM worker WHERE state = $3 AND updated_at < $1 AND id = ANY (ARRAY(
    SELECT id FROM worker WHERE state = $3 AND updated_at < $1 LIMIT $2))";

/// Deletes up to `limit` rows that are old; how many it were.
pub(crate) async fn prune(
    connection: &mut PgConnection,
    what: Prunable,
    before: Timestamp,
    limit: u32,
) -> Result<u32, Failure> {
    let second = before.timestamp();
    let (micros, limit) = (second.saturating_mul(1_000_000), i64::from(limit));
    let statement = match what {
        Prunable::Requests => REQUESTS,
        Prunable::DoneTickets => DONE_TICKETS,
        Prunable::Events => EVENTS,
        Prunable::GoneWorkers => GONE_WORKERS,
    };
    let mut query = sqlx::query(statement).bind(micros).bind(limit);
    match what {
        Prunable::DoneTickets => {
            let second = Timestamp::from_timestamp(second, 0).unwrap_or_default();
            query = query.bind(second.format("%Y-%m-%dT%H:%M:%S").to_string());
        }
        Prunable::GoneWorkers => query = query.bind(GONE),
        Prunable::Requests | Prunable::Events => {}
    }
    let deleted = query.execute(connection).await?.rows_affected();
    Ok(u32::try_from(deleted).unwrap_or(u32::MAX))
}

/// Takes out the rows of some sorts that count nothing, and puts back what they had come to count
/// meanwhile: no row that is locked can move.
const TIDY: &str = "
WITH empty AS MATERIALIZED (
    SELECT lane, class, merchant, kind, stage FROM ticket_counter
    GROUP BY lane, class, merchant, kind, stage HAVING sum(count) = 0 LIMIT 200
), held AS MATERIALIZED (
    SELECT c.* FROM ticket_counter AS c JOIN empty USING (lane, class, merchant, kind, stage)
    ORDER BY lane, class, merchant, kind, stage, shard FOR UPDATE OF c
), gone AS (
    DELETE FROM ticket_counter AS c USING held AS h
    WHERE (c.lane, c.class, c.merchant, c.kind, c.stage, c.shard) =
        (h.lane, h.class, h.merchant, h.kind, h.stage, h.shard)
    RETURNING c.lane, c.class, c.merchant, c.kind, c.stage, c.count
)
SELECT lane, class, merchant, kind, stage, sum(count)::bigint AS count FROM gone
GROUP BY lane, class, merchant, kind, stage HAVING sum(count) <> 0";

/// Removes counters that count nothing.
pub(crate) async fn tidy_counters(connection: &mut PgConnection) -> Result<(), Failure> {
    connection.execute("BEGIN").await?;
    // Their shard has a number that no writer's has, so that nobody's row is in the way.
    let statement = format!(
        "WITH moved AS ({TIDY}) INSERT INTO ticket_counter AS c \
         (lane, class, merchant, kind, stage, count, shard) SELECT *, -1 FROM moved \
         ON CONFLICT (lane, class, merchant, kind, stage, shard) \
         DO UPDATE SET count = c.count + excluded.count"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await?;
    connection.execute("COMMIT").await?;
    Ok(())
}
