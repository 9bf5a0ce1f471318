//! The peer of the intake: the same rows, inserted by hand, one transaction for all clients that
//! wait. No network, no rules, no checks.

use crate::table::Times;
use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS raw_order (id TEXT PRIMARY KEY, merchant TEXT, version INTEGER, \
     state TEXT, created_at INTEGER, updated_at INTEGER, document TEXT)",
    "CREATE TABLE IF NOT EXISTS raw_event (seq INTEGER PRIMARY KEY, stream TEXT, sequence \
     INTEGER, kind TEXT, subject TEXT, data TEXT, at INTEGER, UNIQUE (stream, sequence))",
    "CREATE TABLE IF NOT EXISTS raw_ticket (id TEXT PRIMARY KEY, merchant TEXT, lane TEXT, \
     state TEXT, due_at INTEGER, document TEXT)",
    "CREATE TABLE IF NOT EXISTS raw_request (merchant TEXT, id TEXT, fingerprint TEXT, outcome \
     TEXT, at INTEGER, PRIMARY KEY (merchant, id))",
];

/// About as large as an order's and a ticket's documents.
pub(crate) const ORDER_BYTES: usize = 1_300;
pub(crate) const TICKET_BYTES: usize = 620;

/// Clients that insert one order after the other for so long.
pub(crate) async fn round(path: &Path, clients: usize, length: Duration) -> anyhow::Result<Times> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    for table in TABLES {
        sqlx::query(table).execute(&mut connection).await?;
    }
    let (sender, receiver) = mpsc::channel(clients);
    let writer = tokio::spawn(write(connection, receiver));
    let until = Instant::now() + length;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let sender = sender.clone();
        running.spawn(async move {
            let mut times = Times::default();
            while Instant::now() < until {
                let begun = Instant::now();
                let (done, wait) = oneshot::channel();
                sender.send(done).await?;
                wait.await?;
                times.push(begun.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    drop(sender);
    let mut all = Times::default();
    while let Some(times) = running.join_next().await {
        all.extend(times??);
    }
    writer.await??;
    Ok(all)
}

/// Commits all that wait together, then answers them.
async fn write(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<oneshot::Sender<()>>,
) -> anyhow::Result<()> {
    let (order, ticket) = ("x".repeat(ORDER_BYTES), "x".repeat(TICKET_BYTES));
    let mut batch = vec![];
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let numbers = serde_json::to_string(&(0..batch.len()).collect::<Vec<_>>())?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        let ids = "lower(hex(randomblob(13)))";
        let statements = [
            format!(
                "INSERT INTO raw_order SELECT 'ord_' || {ids}, 'mer_0', 1, 'placed', 1, 1, ?2 FROM json_each(?1)"
            ),
            format!(
                "INSERT INTO raw_event (stream, sequence, kind, subject, data, at) SELECT 'ord_' || {ids}, 1, 'order.placed', 'x', '{{}}', 1 FROM json_each(?1)"
            ),
            format!(
                "INSERT INTO raw_event (stream, sequence, kind, subject, data, at) SELECT 'ord_' || {ids}, 2, 'payment.requested', 'x', '{{}}', 1 FROM json_each(?1)"
            ),
            format!(
                "INSERT INTO raw_ticket SELECT 'tkt_' || {ids}, 'mer_0', 'express', 'queued', 1, ?3 FROM json_each(?1)"
            ),
            format!(
                "INSERT INTO raw_request SELECT 'mer_0', {ids}, {ids}, 'x', 1 FROM json_each(?1)"
            ),
        ];
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement))
                .bind(&numbers)
                .bind(&order)
                .bind(&ticket)
                .execute(&mut connection)
                .await?;
        }
        sqlx::query("COMMIT").execute(&mut connection).await?;
        for done in batch.drain(..) {
            let _ = done.send(());
        }
    }
    connection.close().await?;
    Ok(())
}
