//! The queue's table: settling, sending and claiming, each for many messages at once. What
//! others are claiming is skipped, so nobody waits for anybody.

use super::connect::Target;
use super::database::take_lock;
use super::error;
use crate::dialect::Dialect;
use crate::queue::{SqlQueue, capabilities};
use crate::server::queue_session::{Done, QueueSession, Wanted, Work};
use crate::server::queue_task::QueueTask;
use crate::server::writer::Signals;
use crate::server_address::ServerAddress;
use crate::sqlite::claim::{Claimed, Hold};
use printmill_backend::queue::{Durability, QueueStats};
use printmill_backend::{BackendError, fresh};
use sea_orm::sqlx::mysql::{MySqlConnection, MySqlRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Row};

/// The server's clock, in microseconds since 1970.
const NOW: &str = "CAST(unix_timestamp(now(6)) * 1000000 AS SIGNED)";
/// Holds, and what they are to become.
const HOLDS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', \
                     token BIGINT PATH '$[1]', micros BIGINT PATH '$[2]')) AS j";

fn table(collation: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS queue_message (
            id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
            lane VARCHAR(64) NOT NULL,
            ticket VARCHAR(64) NOT NULL,
            leased BOOLEAN NOT NULL DEFAULT false,
            visible_at BIGINT NOT NULL,
            token BIGINT,
            attempts BIGINT NOT NULL DEFAULT 0,
            trace LONGTEXT,
            UNIQUE KEY queue_message_by_ticket (lane, ticket),
            KEY queue_message_by_time (lane, visible_at, id)
        ) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation}"
    )
}

/// Opens a queue in a database.
pub(crate) async fn open(address: ServerAddress) -> Result<SqlQueue, BackendError> {
    let target = Target::new(address).await?;
    let session = Claiming::connect(&target).await?;
    let durability = if session.durable { Durability::Synced } else { Durability::Periodic };
    let caps = capabilities(Dialect::MySql.name(), durability);
    Ok(SqlQueue::start(caps, |operations| {
        QueueTask::new(target, session, operations, Signals::new(), false).run()
    }))
}

/// A connection that works on the queue's table.
#[derive(Debug)]
pub(crate) struct Claiming {
    target: Target,
    connection: MySqlConnection,
    durable: bool,
    collation: &'static str,
}

impl QueueSession for Claiming {
    type Target = Target;
    const DIALECT: Dialect = Dialect::MySql;

    async fn connect(target: &Target) -> Result<Self, BackendError> {
        let mut connection = target.connect().await?;
        let server = target.check(&mut connection).await?;
        let (durable, collation) = (server.durable, server.collation);
        let mut session = Self { target: target.clone(), connection, durable, collation };
        session.make_table().await.map_err(|error| error::opening(&target.address, error))?;
        Ok(session)
    }

    async fn make_table(&mut self) -> sqlx::Result<()> {
        // Who may not make tables may use one that is there.
        let there = "SELECT CAST(count(*) AS SIGNED) FROM information_schema.tables \
                     WHERE table_schema = database() AND table_name = 'queue_message'";
        if self.connection.fetch_one(there).await?.try_get::<i64, _>(0)? > 0 {
            return Ok(());
        }
        // Two processes that make the same table at once would be in each other's way.
        let taken = take_lock(&self.target, &mut self.connection).await;
        taken.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
        let made = self.connection.execute(AssertSqlSafe(table(self.collation))).await;
        self.connection.execute("SELECT release_all_locks()").await?;
        made.map(|_| ())
    }

    async fn work(&mut self, work: &Work) -> sqlx::Result<Done> {
        let connection = &mut self.connection;
        let mut done = Done::default();
        connection.execute("START TRANSACTION").await?;
        let later =
            format!("SET m.leased = false, m.token = NULL, m.visible_at = {NOW} + j.micros");
        let longer = format!("SET m.visible_at = {NOW} + j.micros");
        for (rows, verb, sets) in [
            (&work.acked, "DELETE m FROM", ""),
            (&work.released, "UPDATE", later.as_str()),
            (&work.extended, "UPDATE", longer.as_str()),
        ] {
            let Some(rows) = rows else { continue };
            done.held.extend(held(connection, rows).await?);
            let statement = format!(
                "{verb} {HOLDS} STRAIGHT_JOIN queue_message AS m \
                 ON m.id = j.id AND m.token = j.token {sets}"
            );
            sqlx::query(AssertSqlSafe(statement)).bind(rows).execute(&mut *connection).await?;
        }
        if let Some(sent) = &work.sent {
            send(connection, sent, work.now).await?;
        }
        for wanted in &work.claims {
            done.claimed.push(claim(connection, wanted).await?);
        }
        connection.execute("COMMIT").await?;
        for lane in &work.look_ahead {
            let next = format!("SELECT min(visible_at) - {NOW} FROM queue_message WHERE lane = ?");
            let query = sqlx::query(AssertSqlSafe(next)).bind(lane);
            if let Some(ahead) = query.fetch_one(&mut *connection).await?.try_get(0)? {
                done.due.push((lane.clone(), ahead));
            }
        }
        Ok(done)
    }

    async fn rollback(&mut self) -> sqlx::Result<()> {
        self.connection.execute("ROLLBACK").await.map(|_| ())
    }

    async fn count(&mut self, lane: &str) -> sqlx::Result<QueueStats> {
        let sum = |what: &str| format!("CAST(coalesce(sum({what}), 0) AS SIGNED)");
        let statement = format!(
            "SELECT {}, {}, {} FROM queue_message, (SELECT {NOW} AS now) AS t WHERE lane = ?",
            sum("visible_at <= t.now"),
            sum("visible_at > t.now AND leased"),
            sum("visible_at > t.now AND NOT leased")
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(lane);
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

/// Locks the messages that are still held; which they are.
async fn held(connection: &mut MySqlConnection, rows: &str) -> sqlx::Result<Vec<Hold>> {
    let statement = format!(
        "SELECT m.id, m.token FROM {HOLDS} STRAIGHT_JOIN queue_message AS m \
         ON m.id = j.id AND m.token = j.token FOR UPDATE"
    );
    let rows = sqlx::query(AssertSqlSafe(statement)).bind(rows).fetch_all(connection).await?;
    let hold = |row: MySqlRow| Ok(Hold { id: row.try_get(0)?, token: row.try_get(1)? });
    rows.into_iter().map(hold).collect()
}

async fn send(connection: &mut MySqlConnection, rows: &str, now: i64) -> sqlx::Result<()> {
    let statement = format!(
        "INSERT INTO queue_message (lane, ticket, visible_at, trace) \
         SELECT j.lane, j.ticket, j.visible_at + {NOW} - ?, j.trace \
         FROM JSON_TABLE(?, '$[*]' COLUMNS (lane VARCHAR(64) CHARACTER SET utf8mb4 PATH '$[0]' ERROR ON ERROR, \
         ticket VARCHAR(64) CHARACTER SET utf8mb4 PATH '$[1]' ERROR ON ERROR, \
         visible_at BIGINT PATH '$[3]' ERROR ON ERROR, \
         trace LONGTEXT CHARACTER SET utf8mb4 PATH '$[4]' ERROR ON ERROR)) AS j \
         ON DUPLICATE KEY UPDATE queue_message.lane = queue_message.lane"
    );
    sqlx::query(AssertSqlSafe(statement)).bind(now).bind(rows).execute(connection).await?;
    Ok(())
}

async fn claim(connection: &mut MySqlConnection, wanted: &Wanted) -> sqlx::Result<Vec<Claimed>> {
    let due = format!(
        "SELECT id, ticket, attempts, trace FROM queue_message \
         WHERE lane = ? AND visible_at <= {NOW} ORDER BY visible_at, id LIMIT ? \
         FOR UPDATE SKIP LOCKED"
    );
    let query = sqlx::query(AssertSqlSafe(due)).bind(&wanted.lane).bind(wanted.count);
    let rows = query.fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let token = fresh::token().cast_signed();
    let claimed = |row: MySqlRow| {
        let hold = Hold { id: row.try_get(0)?, token };
        let before: i64 = row.try_get(2)?;
        Ok(Claimed { hold, ticket: row.try_get(1)?, attempts: before + 1, trace: row.try_get(3)? })
    };
    let mut claimed: Vec<Claimed> = rows.into_iter().map(claimed).collect::<sqlx::Result<_>>()?;
    claimed.sort_unstable_by_key(|it| it.hold.id);
    let ids: Vec<i64> = claimed.iter().map(|it| it.hold.id).collect();
    let ids = serde_json::Value::from(ids).to_string();
    let hold = format!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) AS j \
         STRAIGHT_JOIN queue_message AS m ON m.id = j.id \
         SET m.leased = true, m.token = ?, m.attempts = m.attempts + 1, m.visible_at = {NOW} + ?"
    );
    let query = sqlx::query(AssertSqlSafe(hold)).bind(ids).bind(token).bind(wanted.ttl);
    query.execute(connection).await?;
    Ok(claimed)
}
