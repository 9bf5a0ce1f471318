//! What survives when the process is killed while it commits.

use super::*;
use crate::SqlDatabase;
use anyhow::{Context, ensure};
use printmill_backend::Database;
use printmill_backend::database::{EventQuery, Page, Scope};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const ADDRESS: &str = "PRINTMILL_CRASH_TEST_DATABASE";
const COMMITTED: &str = "committed ";

#[tokio::test]
#[ignore = "run by the test below in a process that it kills"]
async fn committing_until_killed() -> Result<()> {
    let Ok(address) = std::env::var(ADDRESS) else { return Ok(()) };
    let database = SqlDatabase::open(&address).await?;
    for round in 0..100_000_u128 {
        let orders: Vec<_> = (0..8).map(|index| order(round * 8 + index + 1)).collect();
        let committing = orders.iter().map(|order| {
            let (database, order) = (database.clone(), *order);
            tokio::spawn(async move { database.commit(placing(order)).await.map(|()| order) })
        });
        for commit in committing.collect::<Vec<_>>() {
            println!("{COMMITTED}{}", commit.await??);
        }
    }
    Ok(())
}

#[tokio::test]
async fn all_that_was_acknowledged_survives_a_kill_and_nothing_by_halves() -> Result<()> {
    let directory = directory()?;
    let address = url(&directory, "main.db");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "tests::crash::committing_until_killed", "--ignored", "--nocapture"])
        .env(ADDRESS, &address)
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        // The first line can stand behind the harness's own words.
        if let Some((_, id)) = line?.split_once(COMMITTED) {
            acknowledged.push(id.to_owned());
        }
        if acknowledged.len() == 300 {
            child.kill()?;
        }
    }
    child.wait()?;
    ensure!(acknowledged.len() >= 300, "it committed only {}", acknowledged.len());

    let database = SqlDatabase::open(&address).await?;
    let scope = Scope::Merchant(merchant());
    let found = database.get_many(scope, Kind::Order, &acknowledged).await?;
    ensure!(found.len() == acknowledged.len());
    let page = Page { before: None, limit: u32::MAX, state: None };
    let all = database.list(scope, Kind::Order, page).await?;
    let events = database.events(EventQuery { limit: u32::MAX, ..EventQuery::default() }).await?;
    ensure!(events.len() == 2 * all.len());
    ensure!(events.iter().map(|event| event.seq).eq(1..=events.len() as u64));
    for record in all {
        ensure!(database.request(merchant(), &record.id).await?.is_some());
        let id = ticket(OrderId::parse(&record.id)?).id;
        ensure!(database.tickets(&[id]).await?.len() == 1);
    }
    Ok(())
}
