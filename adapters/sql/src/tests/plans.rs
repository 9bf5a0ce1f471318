//! How SQLite finds events: by an index that leads to what is wanted, never past the rest; and
//! what it makes of a log that is older than the indexes.

use super::*;
use crate::SqlDatabase;
use crate::dialect::Dialect;
use crate::event_reads::select;
use crate::migration::Migrator;
use crate::sqlite::connect;
use anyhow::ensure;
use printmill_backend::Database;
use printmill_backend::database::EventQuery;
use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement};
use sea_orm_migration::MigratorTrait;

async fn plan(query: &EventQuery) -> Result<Vec<String>> {
    let directory = directory()?;
    drop(SqlDatabase::open(&url(&directory, "main.db")).await?);
    let connection = connect::readers(&directory.path().join("main.db"));
    let statement = select(Dialect::Sqlite, query).build(DbBackend::Sqlite);
    let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
    let explain = Statement { sql, values: statement.values, db_backend: DbBackend::Sqlite };
    let rows = connection.query_all_raw(explain).await?;
    Ok(rows.iter().map(|row| row.try_get("", "detail")).collect::<Result<_, _>>()?)
}

async fn expect(query: EventQuery, index: &str) -> Result<()> {
    let query = EventQuery { after: 5, until: Some(1_000), limit: 100, ..query };
    let plan = plan(&query).await?;
    let text = plan.join("\n");
    ensure!(text.contains(index), "{query:?} does not use '{index}':\n{text}");
    ensure!(!text.contains("SCAN event_log"), "{query:?} passes by all events:\n{text}");
    let sorts = text.contains("USE TEMP B-TREE FOR ORDER BY") && query.kinds.len() < 2;
    ensure!(!sorts, "{query:?} reads more than it gives:\n{text}");
    Ok(())
}

#[tokio::test]
async fn every_filter_that_is_looked_up_has_its_index() -> Result<()> {
    let none = EventQuery::default();
    let of_merchant = EventQuery { merchant: Some(merchant()), ..none.clone() };
    let kinds = |query: &EventQuery, count: usize| {
        let kinds = ["order.paid", "order.placed", "item.routed"][..count].iter();
        EventQuery { kinds: kinds.map(|kind| (*kind).to_owned()).collect(), ..query.clone() }
    };
    let of_stream = EventQuery { stream: Some(order(1).to_string()), ..of_merchant.clone() };
    let shard = printmill_domain::event::Shard::new(1, 4);
    let streams = vec!["ord".to_owned()];
    expect(none.clone(), "(rowid>? AND rowid<?)").await?;
    expect(EventQuery { shard, stream_kinds: streams, ..none.clone() }, "(rowid>? AND rowid<?)")
        .await?;
    expect(of_merchant.clone(), "event_log_by_merchant (merchant=? AND seq>? AND seq<?)").await?;
    let of_kind = "event_log_by_kind (kind=? AND seq>? AND seq<?)";
    expect(kinds(&none, 1), of_kind).await?;
    expect(kinds(&none, 3), of_kind).await?;
    let of_both = "event_log_by_merchant_kind (merchant=? AND kind=? AND seq>? AND seq<?)";
    expect(kinds(&of_merchant, 1), of_both).await?;
    expect(kinds(&of_merchant, 3), of_both).await?;
    expect(of_stream.clone(), "event_log_by_stream (stream=?)").await?;
    expect(kinds(&of_stream, 2), "event_log_by_stream (stream=?)").await
}

#[tokio::test]
async fn a_log_from_before_times_had_a_place_gets_them() -> Result<()> {
    let directory = directory()?;
    let path = directory.path().join("main.db");
    let old = connect::migrating(&path).await?;
    Migrator::up(&old, Some(1)).await?;
    for (seq, at) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
        let sql = format!(
            "INSERT INTO event_log (seq, merchant, stream, sequence, kind, subject, data, at) \
             VALUES ({seq}, '{}', '{}', {seq}, 'order.tested', 'x', '{{}}', {})",
            merchant(),
            order(1),
            (now() + chrono::TimeDelta::seconds(at)).timestamp_micros(),
        );
        old.execute_unprepared(&sql).await?;
    }
    old.close().await?;
    let database = SqlDatabase::open(&url(&directory, "main.db")).await?;
    let mut change = Change::new(merchant(), now());
    change.events = vec![event(order(1), 5)];
    database.commit(change).await?;
    for (seconds, place) in [(0, 0), (15, 0), (30, 0), (31, 3), (40, 3), (41, 5)] {
        let found = database.seq_at(now() + chrono::TimeDelta::seconds(seconds)).await?;
        ensure!(found == place, "{seconds}: {found}");
    }
    Ok(())
}
