//! The queue's table: settling, sending and claiming, each for many messages at once. What
//! others are claiming is skipped, so nobody waits for anybody.

use super::connect::Target;
use super::database::MIGRATING;
use super::{error, signal};
use crate::dialect::Dialect;
use crate::queue::{SqlQueue, capabilities};
use crate::server::queue_session::{Done, QueueSession, Wanted, Work};
use crate::server::queue_task::QueueTask;
use crate::server::writer::Signals;
use crate::server_address::ServerAddress;
use crate::sqlite::claim::{Claimed, Hold};
use printmill_backend::queue::{Durability, QueueStats};
use printmill_backend::{BackendError, fresh};
use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Row};
use std::sync::LazyLock;

/// Where processes tell each other that they sent something.
const CHANNEL: &str = "printmill_queue";

/// Messages come and go all the time: what was deleted is cleaned up before it is much.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS queue_message (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane TEXT COLLATE \"C\" NOT NULL,
    ticket TEXT COLLATE \"C\" NOT NULL,
    leased BOOLEAN NOT NULL DEFAULT false,
    visible_at BIGINT NOT NULL,
    token BIGINT,
    attempts BIGINT NOT NULL DEFAULT 0,
    trace TEXT,
    UNIQUE (lane, ticket)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX IF NOT EXISTS queue_message_by_time ON queue_message (lane, visible_at, id)";

/// The server's clock, in microseconds since 1970.
const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint";

static WRITE: LazyLock<String> = LazyLock::new(|| {
    let held = |parameter: &str| {
        format!(
            "jsonb_array_elements({parameter}::jsonb) AS j \
             WHERE m.id = (j ->> 0)::bigint AND m.token = (j ->> 1)::bigint \
             RETURNING m.id, (j ->> 1)::bigint AS token"
        )
    };
    format!(
        "WITH acked AS (DELETE FROM queue_message AS m USING {}), \
         released AS (UPDATE queue_message AS m SET leased = false, token = NULL, \
         visible_at = {NOW} + (j ->> 2)::bigint FROM {}), \
         extended AS (UPDATE queue_message AS m SET visible_at = {NOW} + (j ->> 2)::bigint FROM {}), \
         sent AS (INSERT INTO queue_message (lane, ticket, visible_at, trace) \
         SELECT j ->> 0, j ->> 1, (j ->> 3)::bigint + {NOW} - $5, j ->> 4 \
         FROM jsonb_array_elements($4::jsonb) AS j ON CONFLICT DO NOTHING) \
         SELECT id, token FROM acked UNION ALL SELECT id, token FROM released \
         UNION ALL SELECT id, token FROM extended",
        held("$1"),
        held("$2"),
        held("$3")
    )
});

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH due AS MATERIALIZED (SELECT id FROM queue_message \
         WHERE lane = $1 AND visible_at <= {NOW} ORDER BY visible_at, id LIMIT $2 \
         FOR UPDATE SKIP LOCKED) \
         UPDATE queue_message AS m SET leased = true, token = $4, attempts = attempts + 1, \
         visible_at = {NOW} + $3 FROM due WHERE m.id = due.id \
         RETURNING m.id, m.token, m.ticket, m.attempts, m.trace"
    )
});

static NEXT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT lane, (SELECT min(visible_at) FROM queue_message AS m WHERE m.lane = w.lane) \
         - {NOW} AS ahead FROM unnest($1::text[]) AS w (lane)"
    )
});

static COUNT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*) FILTER (WHERE visible_at <= {NOW}), \
         count(*) FILTER (WHERE visible_at > {NOW} AND leased), \
         count(*) FILTER (WHERE visible_at > {NOW} AND NOT leased) \
         FROM queue_message WHERE lane = $1"
    )
});

/// Opens a queue in a database.
pub(crate) async fn open(address: ServerAddress) -> Result<SqlQueue, BackendError> {
    let target = Target::new(address).await?;
    let session = Claiming::connect(&target).await?;
    let signals = Signals::new();
    signal::start(&target, CHANNEL, signals.local.clone(), signals.counter.clone());
    let caps = capabilities(Dialect::Postgres.name(), Durability::Periodic);
    Ok(SqlQueue::start(caps, |operations| {
        QueueTask::new(target, session, operations, signals, true).run()
    }))
}

/// A connection that works on the queue's table. It does not wait for the server's disk: the last
/// moments that a crash of the server loses are sent again from the database.
#[derive(Debug)]
pub(crate) struct Claiming {
    connection: PgConnection,
}

impl QueueSession for Claiming {
    type Target = Target;
    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(target: &Target) -> Result<Self, BackendError> {
        let settings = [
            ("synchronous_commit", "off"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ];
        let mut session = Self { connection: target.connect(&settings).await? };
        session.make_table().await.map_err(|error| error::opening(&target.address, error))?;
        Ok(session)
    }

    async fn make_table(&mut self) -> sqlx::Result<()> {
        // Who may not make tables may use one that is there.
        let there = "SELECT to_regclass('queue_message') IS NOT NULL";
        if self.connection.fetch_one(there).await?.try_get(0)? {
            return Ok(());
        }
        // Two processes that make the same table at once would be in each other's way.
        let unlocking = MIGRATING.replace("pg_advisory_lock", "pg_advisory_unlock");
        self.connection.execute(MIGRATING).await?;
        let made = self.connection.execute(sqlx::raw_sql(TABLE)).await;
        self.connection.execute(AssertSqlSafe(unlocking)).await?;
        made.map(|_| ())
    }

    async fn work(&mut self, work: &Work) -> sqlx::Result<Done> {
        let connection = &mut self.connection;
        let mut done = Done::default();
        connection.execute("BEGIN").await?;
        if work.writes() {
            let array = |rows: &Option<String>| rows.clone().unwrap_or_else(|| "[]".into());
            let rows = sqlx::query(WRITE.as_str())
                .bind(array(&work.acked))
                .bind(array(&work.released))
                .bind(array(&work.extended))
                .bind(array(&work.sent))
                .bind(work.now)
                .fetch_all(&mut *connection)
                .await?;
            for row in rows {
                done.held.insert(Hold { id: row.try_get(0)?, token: row.try_get(1)? });
            }
        }
        for wanted in &work.claims {
            done.claimed.push(claim(connection, wanted).await?);
        }
        connection.execute("COMMIT").await?;
        if !work.look_ahead.is_empty() {
            let query = sqlx::query(NEXT.as_str()).bind(&work.look_ahead);
            for row in query.fetch_all(&mut *connection).await? {
                if let Some(ahead) = row.try_get(1)? {
                    done.due.push((row.try_get(0)?, ahead));
                }
            }
        }
        Ok(done)
    }

    async fn rollback(&mut self) -> sqlx::Result<()> {
        self.connection.execute("ROLLBACK").await.map(|_| ())
    }

    async fn count(&mut self, lane: &str) -> sqlx::Result<QueueStats> {
        let query = sqlx::query(COUNT.as_str()).bind(lane);
        let row = query.fetch_one(&mut self.connection).await?;
        let number = |index: usize| -> sqlx::Result<u64> {
            let number: i64 = row.try_get(index)?;
            Ok(u64::try_from(number).unwrap_or_default())
        };
        Ok(QueueStats { ready: number(0)?, in_flight: number(1)?, delayed: number(2)? })
    }

    fn is_busy(error: &sqlx::Error) -> bool {
        error::is_busy(error)
    }

    fn is_missing(error: &sqlx::Error) -> bool {
        error::is_missing(error)
    }
}

async fn claim(connection: &mut PgConnection, wanted: &Wanted) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query(CLAIM.as_str())
        .bind(&wanted.lane)
        .bind(wanted.count)
        .bind(wanted.ttl)
        .bind(fresh::token().cast_signed())
        .fetch_all(connection)
        .await?;
    let claimed = |row: PgRow| {
        let hold = Hold { id: row.try_get(0)?, token: row.try_get(1)? };
        let attempts = row.try_get(3)?;
        Ok(Claimed { hold, ticket: row.try_get(2)?, attempts, trace: row.try_get(4)? })
    };
    let mut claimed: Vec<Claimed> = rows.into_iter().map(claimed).collect::<sqlx::Result<_>>()?;
    claimed.sort_unstable_by_key(|it| it.hold.id);
    Ok(claimed)
}
