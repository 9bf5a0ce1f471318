//! The peer of the jobs: a table of jobs in SQLite, claimed and completed by hand with the same
//! durability, one transaction for all that wait. No queue, no fairness, no retries, no history.

use anyhow::Context;
use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{Connection, Row, SqliteConnection};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// As large as a ticket's document.
const DOCUMENT_BYTES: usize = 620;

const FILL: &str = "INSERT INTO job (state, due_at, document) \
    SELECT 'queued', value, ?2 FROM json_each(?1)";
const CLAIM: &str = "UPDATE job SET state = 'leased', attempt = attempt + 1, \
    token = abs(random()), lease_until = 1, document = document || '' \
    WHERE id IN (SELECT id FROM job WHERE state = 'queued' ORDER BY due_at, id LIMIT ?1) \
    RETURNING id";
const COMPLETE: &str = "UPDATE job SET state = 'done', token = NULL, lease_until = NULL, \
    document = document || '' WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'leased'";

/// What a worker asks for.
enum Operation {
    Claim(i64, oneshot::Sender<Vec<i64>>),
    Complete(Vec<i64>, oneshot::Sender<()>),
}

/// Does so many jobs with so many workers, each of which takes `batch` at once; how long it took.
pub(crate) async fn round(
    path: &Path,
    jobs: usize,
    workers: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    for statement in [
        "DROP TABLE IF EXISTS job",
        "CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT NOT NULL, due_at INTEGER NOT NULL, \
         attempt INTEGER NOT NULL DEFAULT 0, token INTEGER, lease_until INTEGER, document TEXT)",
        "CREATE INDEX job_queued ON job (due_at, id) WHERE state = 'queued'",
        "CREATE INDEX job_leased ON job (lease_until) WHERE state = 'leased'",
    ] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    let numbers = serde_json::to_string(&(0..jobs).collect::<Vec<_>>())?;
    let document = "x".repeat(DOCUMENT_BYTES);
    sqlx::query(FILL).bind(numbers).bind(document).execute(&mut connection).await?;
    let (sender, receiver) = mpsc::channel(workers * 2);
    let writer = tokio::spawn(write(connection, receiver));
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let sender = sender.clone();
        running.spawn(async move {
            let mut done = 0;
            loop {
                let (answer, claimed) = oneshot::channel();
                sender.send(Operation::Claim(batch as i64, answer)).await.context("claim")?;
                let claimed = claimed.await?;
                if claimed.is_empty() {
                    return anyhow::Ok(done);
                }
                done += claimed.len();
                let (answer, completed) = oneshot::channel();
                sender.send(Operation::Complete(claimed, answer)).await.context("complete")?;
                completed.await?;
            }
        });
    }
    drop(sender);
    let mut done = 0;
    while let Some(of_one) = running.join_next().await {
        done += of_one??;
    }
    anyhow::ensure!(done == jobs, "{done} of {jobs} jobs were done");
    let took = begun.elapsed();
    writer.await??;
    Ok(took)
}

/// Commits all that wait together, then answers them.
async fn write(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<Operation>,
) -> anyhow::Result<()> {
    let mut batch = vec![];
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let (mut completed, mut wanted): (Vec<i64>, i64) = (vec![], 0);
        for operation in &batch {
            match operation {
                Operation::Claim(count, _) => wanted += count,
                Operation::Complete(ids, _) => completed.extend(ids),
            }
        }
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        if !completed.is_empty() {
            let ids = serde_json::to_string(&completed)?;
            sqlx::query(COMPLETE).bind(ids).execute(&mut connection).await?;
        }
        let rows = sqlx::query(CLAIM).bind(wanted).fetch_all(&mut connection).await?;
        sqlx::query("COMMIT").execute(&mut connection).await?;
        let mut claimed: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        for operation in batch.drain(..) {
            match operation {
                Operation::Claim(count, answer) => {
                    let rest = claimed.len().saturating_sub(count as usize);
                    let _ = answer.send(claimed.split_off(rest));
                }
                Operation::Complete(_, answer) => {
                    let _ = answer.send(());
                }
            }
        }
    }
    connection.close().await?;
    Ok(())
}
