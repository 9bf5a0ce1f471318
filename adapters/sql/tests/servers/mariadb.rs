//! Databases on MariaDB.

use super::{Afterwards, Shared, finish, fresh_name};
use printmill_adapter_sql::{SqlDatabase, SqlQueue};
use printmill_backend::{Database, Queue};
use printmill_conformance::Subject;
use printmill_test_servers::MariaDb;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor, MySqlConnection, Row};
use std::sync::Arc;

pub(crate) static SERVER: Shared<MariaDb> = Shared::new();

pub(crate) fn is_there() -> bool {
    SERVER.exists(MariaDb::find)
}

/// A database for one case: its address, and what gives it back.
async fn fresh() -> anyhow::Result<(String, Afterwards)> {
    let server = SERVER.with(MariaDb::find, |server| server.address.clone())?;
    let mut connection = MySqlConnection::connect(&server).await?;
    // One process at a time makes what all of them use.
    connection.execute("DO get_lock('printmill conformance', 60)").await?;
    connection.execute("CREATE TABLE IF NOT EXISTS left_database (name VARCHAR(64))").await?;
    let name = match connection.fetch_optional("SELECT name FROM left_database LIMIT 1").await? {
        Some(row) => {
            let name: String = row.try_get(0)?;
            let taken = sqlx::query("DELETE FROM left_database WHERE name = ?").bind(&name);
            taken.execute(&mut connection).await?;
            name
        }
        None => {
            let name = fresh_name();
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
            name
        }
    };
    connection.close().await?;
    let address = SERVER.with(MariaDb::find, |server| server.database(&name))?;
    let give_back = move || finish(give_back(server, name));
    Ok((address, Afterwards::new(give_back)))
}

/// Empties every table, leaves the log as a new one, and lets another case have the database.
async fn give_back(server: String, name: String) -> anyhow::Result<()> {
    let mut connection = MySqlConnection::connect(&server).await?;
    let tables = "SELECT CAST(table_name AS CHAR) FROM information_schema.tables \
                  WHERE table_schema = ? AND table_type = 'BASE TABLE' \
                  AND table_name <> 'seaql_migrations'";
    let tables = sqlx::query(tables).bind(&name).fetch_all(&mut connection).await?;
    connection.execute("START TRANSACTION").await?;
    for table in tables {
        let table: String = table.try_get(0)?;
        let empty = format!("DELETE FROM {name}.`{table}`");
        connection.execute(AssertSqlSafe(empty)).await?;
    }
    let head = format!("INSERT INTO {name}.event_head VALUES (1, 0, -9223372036854775808)");
    connection.execute(AssertSqlSafe(head)).await?;
    let left = sqlx::query("INSERT INTO left_database VALUES (?)").bind(&name);
    left.execute(&mut connection).await?;
    connection.execute("COMMIT").await?;
    Ok(connection.close().await?)
}

async fn run(address: &str, statement: String) -> anyhow::Result<()> {
    let mut connection = MySqlConnection::connect(address).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(connection.close().await?)
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
            run(&address, "DROP TABLE queue_message".into()).await?;
            Ok(kept)
        }
    };
    Ok(Subject::queue(queue).opened_by(open).wiped_by(wipe).keeping(afterwards))
}
