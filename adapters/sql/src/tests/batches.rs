//! What happens within one transaction.

use super::*;
use crate::SqlDatabase;
use crate::sqlite::change_rows::ChangeRows;
use crate::sqlite::commit::commit_batch;
use crate::sqlite::connect;
use anyhow::ensure;
use chrono::TimeDelta;
use printmill_backend::database::{EventQuery, Scope};
use printmill_backend::{CommitError, Database, Fault};
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection};

async fn connection(directory: &TempDir) -> Result<SqliteConnection> {
    let path = directory.path().join("main.db");
    let options = connect::writing(&path, SqliteSynchronous::Full);
    Ok(SqliteConnection::connect_with(&options).await?)
}

async fn commit(
    connection: &mut SqliteConnection,
    changes: Vec<Change>,
) -> Result<Vec<Result<(), CommitError>>> {
    let rows = changes.into_iter().map(ChangeRows::of).collect::<Result<Vec<_>, _>>()?;
    Ok(commit_batch(connection, &rows.iter().collect::<Vec<_>>()).await?)
}

#[tokio::test]
async fn within_a_batch_the_earlier_change_wins_and_the_later_sees_it() -> Result<()> {
    let directory = directory()?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    let mut connection = connection(&directory).await?;
    let second = |version| {
        let mut change = Change::new(merchant(), now());
        change.records = vec![write(order(1), version)];
        change
    };
    let mut same_event = Change::new(merchant(), now());
    same_event.events = vec![event(order(1), 2)];
    let mut same_ticket = Change::new(merchant(), now());
    same_ticket.tickets = placing(order(1)).tickets;
    let changes = vec![
        placing(order(1)),
        placing(order(1)),
        second(2),
        second(2),
        second(3),
        same_event,
        same_ticket,
    ];
    let answers = commit(&mut connection, changes).await?;
    ensure!(matches!(answers[0], Ok(())), "{:?}", answers[0]);
    ensure!(matches!(&answers[1], Err(CommitError::Answered(it)) if it.id == order(1).to_string()));
    ensure!(matches!(answers[2], Ok(())), "{:?}", answers[2]);
    ensure!(matches!(answers[3], Err(CommitError::Stale { kind: "order", .. })));
    ensure!(matches!(answers[4], Ok(())), "{:?}", answers[4]);
    ensure!(matches!(answers[5], Err(CommitError::Stale { kind: "event", .. })));
    ensure!(matches!(answers[6], Err(CommitError::FenceLost { .. })));
    let stored =
        database.get(Scope::Merchant(merchant()), Kind::Order, &order(1).to_string()).await?;
    ensure!(stored == Some(write(order(1), 3).record), "{stored:?}");
    ensure!(database.head().await? == 2);
    Ok(())
}

#[tokio::test]
async fn a_part_that_fails_takes_only_its_own_change_with_it() -> Result<()> {
    let directory = directory()?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    let mut connection = connection(&directory).await?;
    let trigger = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON request WHEN new.outcome = '{}' \
         BEGIN SELECT raise(ABORT, 'no'); END",
        order(2)
    );
    sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut connection).await?;
    let commits = [1, 2, 3].map(|number| database.commit(placing(order(number))));
    let [first, second, third] = commits;
    let (first, second, third) = tokio::join!(first, second, third);
    first?;
    third?;
    ensure!(matches!(second, Err(CommitError::Backend(error)) if error.fault == Fault::Other));
    let ids = [1, 2, 3].map(|number| order(number).to_string());
    let found = database.get_many(Scope::Merchant(merchant()), Kind::Order, &ids).await?;
    ensure!(found.iter().map(|it| it.id.as_str()).eq([ids[0].as_str(), ids[2].as_str()]));
    ensure!(database.tickets(&[ticket(order(2)).id]).await?.is_empty());
    let events = database.events(EventQuery { limit: 10, ..EventQuery::default() }).await?;
    ensure!(events.iter().map(|it| it.seq).eq(1..=4));
    ensure!(events.iter().all(|it| it.draft.stream != ids[1]));
    Ok(())
}

#[tokio::test]
async fn a_holder_that_missed_its_own_heartbeat_gets_the_next_version() -> Result<()> {
    let directory = directory()?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    database.commit(placing(order(1))).await?;
    let lease = TimeDelta::seconds(30);
    let claimed = ticket(order(1)).claim("me", u64::MAX - 1, lease, now())?;
    let fence = claimed.fence().expect("it was just claimed");
    let change = |it: Ticket| Change::new(merchant(), now()).held(it, &fence);
    database.commit(Change::new(merchant(), now()).ticket(claimed.clone(), 1)).await?;
    database.commit(change(claimed.extend(&fence, lease, 500, now())?)).await?;
    database.commit(change(claimed.complete(&fence, now())?)).await?;
    let stored = database.tickets(&[claimed.id]).await?;
    ensure!(stored == [Ticket { version: 4, ..claimed.complete(&fence, now())? }], "{stored:?}");
    let again = database.commit(change(claimed.complete(&fence, now())?)).await;
    ensure!(matches!(again, Err(CommitError::FenceLost { .. })));
    Ok(())
}

#[tokio::test]
async fn text_that_would_not_come_back_whole_is_refused_but_not_instead_of_an_answer() -> Result<()>
{
    let directory = directory()?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    let mut cut = placing(order(1));
    cut.records[0].record.state = "cut\0off".into();
    let refused = database.commit(cut.clone()).await;
    ensure!(matches!(refused, Err(CommitError::Backend(it)) if it.fault == Fault::Rejected));
    ensure!(database.head().await? == 0);
    database.commit(placing(order(1))).await?;
    ensure!(matches!(database.commit(cut).await, Err(CommitError::Answered(_))));

    let mut odd = placing(order(2));
    odd.records[0].record.document = json!({ "odd": "a\0b\\u0000 \u{1F4F7} \" '" }).to_string();
    odd.events[0].data = json!("\0");
    database.commit(odd.clone()).await?;
    let id = order(2).to_string();
    let stored = database.get(Scope::Merchant(merchant()), Kind::Order, &id).await?;
    ensure!(stored.as_ref() == Some(&odd.records[0].record), "{stored:?}");
    let query = EventQuery { stream: Some(id), limit: 1, ..EventQuery::default() };
    ensure!(database.events(query).await?[0].draft == odd.events[0]);
    Ok(())
}
