//! Databases on PostgreSQL.

use super::{Afterwards, Shared, finish, fresh_name};
use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::{Database, Queue};
use printmill_conformance::Subject;
use printmill_test_servers::Postgres;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection, Row};
use std::sync::Arc;

pub(crate) static SERVER: Shared<Postgres> = Shared::new();

pub(crate) fn is_there() -> bool {
    SERVER.exists(Postgres::find)
}

/// Empties every table, and leaves the log as a new one.
const EMPTY: &str = "DO $$ DECLARE t text; BEGIN \
    FOR t IN SELECT tablename FROM pg_tables \
        WHERE schemaname = 'public' AND tablename <> 'seaql_migrations' \
    LOOP EXECUTE format('DELETE FROM %I', t); END LOOP; \
    INSERT INTO event_head VALUES (1, 0, -9223372036854775808); END $$";

/// A database for one case: its address, and what gives it back.
async fn fresh() -> anyhow::Result<(String, Afterwards)> {
    let server = SERVER.with(Postgres::find, |server| server.address.clone())?;
    let mut connection = PgConnection::connect(&server).await?;
    // One process at a time makes what all of them use.
    connection.execute("SELECT pg_advisory_lock(7)").await?;
    connection.execute("CREATE TABLE IF NOT EXISTS left_database (name text)").await?;
    let left = "DELETE FROM left_database \
                WHERE name = (SELECT min(name) FROM left_database) RETURNING name";
    let name = match connection.fetch_optional(left).await? {
        Some(row) => row.try_get(0)?,
        None => {
            let name = fresh_name();
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
            name
        }
    };
    connection.close().await?;
    let address = SERVER.with(Postgres::find, |server| server.database(&name))?;
    let emptied = address.clone();
    let give_back = move || {
        finish(async move {
            let mut connection = PgConnection::connect(&emptied).await?;
            let emptied = connection.execute(EMPTY).await;
            connection.close().await?;
            let mut connection = PgConnection::connect(&server).await?;
            if emptied.is_ok() {
                let left = sqlx::query("INSERT INTO left_database VALUES ($1)").bind(name);
                left.execute(&mut connection).await?;
            }
            Ok(connection.close().await?)
        });
    };
    Ok((address, Afterwards::new(give_back)))
}

pub(crate) async fn database() -> anyhow::Result<Subject<dyn Database>> {
    let (address, afterwards) = fresh().await?;
    let handle = Arc::new(SqlDatabase::open(&address).await?);
    let open = move || {
        let address = address.clone();
        async move { Ok(Arc::new(SqlDatabase::open(&address).await?) as Arc<dyn Database>) }
    };
    Ok(Subject::of(handle as Arc<dyn Database>).opened_by(open).keeping(afterwards))
}

pub(crate) async fn queue() -> anyhow::Result<Subject<dyn Queue>> {
    let (address, afterwards) = fresh().await?;
    // As in use, where it often shares the database with everything else.
    drop(SqlDatabase::open(&address).await?);
    let queue = SqlQueue::open(&address).await?;
    // The table is dropped under a queue that stays open.
    let (kept, wiped) = (queue.clone(), address.clone());
    let open = move || {
        let address = address.clone();
        async move { Ok(Arc::new(SqlQueue::open(&address).await?) as Arc<dyn Queue>) }
    };
    let wipe = move || {
        let (kept, address) = (Arc::new(kept.clone()) as Arc<dyn Queue>, wiped.clone());
        async move {
            let mut connection = PgConnection::connect(&address).await?;
            connection.execute("DROP TABLE queue_message").await?;
            connection.close().await?;
            Ok(kept)
        }
    };
    Ok(Subject::queue(queue).opened_by(open).wiped_by(wipe).keeping(afterwards))
}
