//! Files: several handles on one, and files that are no database.

use super::*;
use crate::{SqlDatabase, SqlQueue};
use anyhow::ensure;
use printmill_backend::database::Scope;
use printmill_backend::{CommitError, Database, Fault};

async fn count_up(database: SqlDatabase, times: u64) -> Result<()> {
    let (scope, id) = (Scope::Merchant(merchant()), order(1).to_string());
    let mut done = 0;
    while done < times {
        let stored = database.get(scope, Kind::Order, &id).await?;
        let version = stored.map_or(0, |record| record.version) + 1;
        let mut change = Change::new(merchant(), now());
        change.records = vec![write(order(1), version)];
        change.events = vec![event(order(1), version)];
        match database.commit(change).await {
            Ok(()) => done += 1,
            Err(CommitError::Stale { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_on_one_file_never_overwrite_each_other() -> Result<()> {
    let directory = directory()?;
    let address = url(&directory, "deep/in/main.db");
    let (one, other) = tokio::join!(SqlDatabase::open(&address), SqlDatabase::open(&address));
    let (one, other) = (one?, other?);
    let counting = [
        tokio::spawn(count_up(one.clone(), 50)),
        tokio::spawn(count_up(one.clone(), 50)),
        tokio::spawn(count_up(other.clone(), 50)),
    ];
    for task in counting {
        task.await??;
    }
    ensure!(one.head().await? == 150);
    let id = order(1).to_string();
    let stored = other.get(Scope::Merchant(merchant()), Kind::Order, &id).await?;
    ensure!(stored == Some(write(order(1), 150).record), "{stored:?}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_apart() -> Result<()> {
    let directory = directory()?;
    std::fs::write(
        directory.path().join("text.db"),
        "not a database, but long enough\n".repeat(99),
    )?;
    let fault = |opened: Result<SqlDatabase, printmill_backend::BackendError>| {
        opened.err().map(|error| error.fault)
    };
    let corrupt = SqlDatabase::open(&url(&directory, "text.db")).await;
    ensure!(fault(corrupt) == Some(Fault::Corrupt));
    let under_a_file = SqlDatabase::open(&url(&directory, "text.db/main.db")).await;
    ensure!(under_a_file.is_err());
    let elsewhere = SqlDatabase::open("postgres://localhost/printmill").await;
    ensure!(fault(elsewhere) == Some(Fault::Rejected));
    ensure!(SqlQueue::open("memory://").await.is_err());
    Ok(())
}

#[tokio::test]
async fn queries_for_work_read_indexes_and_sort_little() -> Result<()> {
    use sea_orm::sqlx::{self, Connection, Row, sqlite::SqliteConnection};
    let directory = directory()?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    let mut connection = SqliteConnection::connect(&url(&directory, "main.db")).await?;
    for (wanted, index) in [
        ("stage = 'waiting' ORDER BY due_at, id", "ticket_waiting"),
        ("stage = 'delayed' AND due_at <= 9 ORDER BY due_at, id", "ticket_delayed"),
        (
            "stage = 'waiting' AND lane = 'a' AND class = 'bulk' AND merchant = 'm' \
             AND kind = 'k' ORDER BY due_at, id",
            "ticket_turns",
        ),
        (
            "(lane = 'a' AND stage = 'sent' AND sent_at < 9) \
             OR (lane = 'a' AND stage = 'leased' AND lease_until < 9) ORDER BY due_at, id",
            "ticket_leased",
        ),
        ("stage = 'dead' AND lane = 'a' ORDER BY due_at, id", "ticket_dead"),
    ] {
        let plan = format!("EXPLAIN QUERY PLAN SELECT document FROM ticket WHERE {wanted} LIMIT 9");
        let rows = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut connection).await?;
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("; ");
        let all = plan.contains("SCAN ticket") && !plan.contains("SCAN ticket USING INDEX");
        ensure!(plan.contains(index) && !all, "{wanted}: {plan}");
    }
    drop(database);
    Ok(())
}
