//! Tables as queues, by hand: a row is inserted, claimed for a time, and deleted. Each call is a
//! transaction of its own, and waits for the disk as little as the adapter's does.

use super::life::{LEASE, Side, TRACE};
use async_trait::async_trait;
use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use std::path::Path;
use std::str::FromStr;
use tokio::sync::Mutex;

/// One connection, since SQLite has one writer.
pub(super) struct Sqlite(Mutex<SqliteConnection>);

impl Sqlite {
    pub(super) async fn open(path: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let table = "CREATE TABLE raw (id INTEGER PRIMARY KEY, trace TEXT NOT NULL, until REAL \
                     NOT NULL DEFAULT 0); CREATE INDEX raw_until ON raw (until, id)";
        connection.execute(table).await?;
        Ok(Self(Mutex::new(connection)))
    }
}

#[async_trait]
impl Side for Sqlite {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let traces = serde_json::to_string(&vec![TRACE; count])?;
        let insert = "INSERT INTO raw (trace) SELECT value FROM json_each(?)";
        sqlx::query(insert).bind(traces).execute(&mut *self.0.lock().await).await?;
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let claim = "UPDATE raw SET until = unixepoch('subsec') + ? WHERE id IN (SELECT id FROM \
                     raw WHERE until < unixepoch('subsec') ORDER BY until, id LIMIT ?) RETURNING \
                     id";
        let claim = sqlx::query(claim).bind(LEASE.as_secs_f64()).bind(i64::try_from(count)?);
        let rows = claim.fetch_all(&mut *self.0.lock().await).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let delete = "DELETE FROM raw WHERE id IN (SELECT value FROM json_each(?))";
        let ids = serde_json::to_string(&ids)?;
        sqlx::query(delete).bind(ids).execute(&mut *self.0.lock().await).await?;
        Ok(rows.len())
    }
}

/// A pool with a connection for each client.
pub(super) struct Postgres(PgPool);

impl Postgres {
    pub(super) async fn open(address: &str, clients: usize) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(address)?.options([("synchronous_commit", "off")]);
        let clients = u32::try_from(clients)?;
        let pool = PgPoolOptions::new().max_connections(clients).connect_with(options).await?;
        let table = "DROP TABLE IF EXISTS raw; CREATE TABLE raw (id bigserial PRIMARY KEY, trace \
                     text NOT NULL, until timestamptz NOT NULL DEFAULT '-infinity'); CREATE INDEX \
                     raw_until ON raw (until, id)";
        pool.execute(sqlx::raw_sql(table)).await?;
        Ok(Self(pool))
    }
}

#[async_trait]
impl Side for Postgres {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let insert = "INSERT INTO raw (trace) SELECT * FROM unnest($1::text[])";
        sqlx::query(insert).bind(vec![TRACE; count]).execute(&self.0).await?;
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let claim = "UPDATE raw SET until = now() + make_interval(secs => $1) WHERE id IN (SELECT \
                     id FROM raw WHERE until < now() ORDER BY until, id LIMIT $2 FOR UPDATE SKIP \
                     LOCKED) RETURNING id";
        let claim = sqlx::query(claim).bind(LEASE.as_secs_f64()).bind(i64::try_from(count)?);
        let rows = claim.fetch_all(&self.0).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let delete = "DELETE FROM raw WHERE id = ANY($1)";
        sqlx::query(delete).bind(ids).execute(&self.0).await?;
        Ok(rows.len())
    }
}

/// A pool with a connection for each client.
pub(super) struct MariaDb(MySqlPool);

impl MariaDb {
    pub(super) async fn open(address: &str, clients: usize) -> anyhow::Result<Self> {
        let options = MySqlConnectOptions::from_str(address)?;
        let clients = u32::try_from(clients)?;
        let pool = MySqlPoolOptions::new().max_connections(clients).connect_with(options).await?;
        let table = "CREATE OR REPLACE TABLE raw (id bigint PRIMARY KEY AUTO_INCREMENT, trace \
                     varchar(64) NOT NULL, until datetime(3) NOT NULL DEFAULT '2000-01-01', INDEX \
                     raw_until (until, id))";
        pool.execute(sqlx::raw_sql(table)).await?;
        Ok(Self(pool))
    }
}

#[async_trait]
impl Side for MariaDb {
    async fn send(&self, count: usize) -> anyhow::Result<()> {
        let rows = vec!["(?)"; count].join(", ");
        let insert = format!("INSERT INTO raw (trace) VALUES {rows}");
        let insert = sqlx::query(AssertSqlSafe(insert));
        (0..count).fold(insert, |insert, _| insert.bind(TRACE)).execute(&self.0).await?;
        Ok(())
    }

    async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let mut transaction = self.0.begin().await?;
        let select = "SELECT id FROM raw WHERE until < now(3) ORDER BY until, id LIMIT ? FOR \
                      UPDATE SKIP LOCKED";
        let select = sqlx::query(select).bind(i64::try_from(count)?);
        let rows = select.fetch_all(&mut *transaction).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        if ids.is_empty() {
            return Ok(0);
        }
        let list = vec!["?"; ids.len()].join(", ");
        let update =
            format!("UPDATE raw SET until = now(3) + INTERVAL 10 SECOND WHERE id IN ({list})");
        let update = sqlx::query(AssertSqlSafe(update));
        ids.iter().fold(update, |update, id| update.bind(id)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        let delete = format!("DELETE FROM raw WHERE id IN ({list})");
        let delete = sqlx::query(AssertSqlSafe(delete));
        ids.iter().fold(delete, |delete, id| delete.bind(id)).execute(&self.0).await?;
        Ok(rows.len())
    }
}
