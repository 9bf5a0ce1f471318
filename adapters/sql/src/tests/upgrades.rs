//! Nodes of two versions on the same tables: what a newer one added is left alone, what is missing
//! is said, and what older ones cannot bear is refused.

use super::servers::places;
use super::*;
use crate::config::Location;
use crate::migration::Migrator;
use crate::sqlite::connect;
use crate::{OlderTables, SqlDatabase, SqlQueue, mysql, postgres};
use anyhow::{Context, ensure};
use printmill_backend::database::{EventQuery, Scope};
use printmill_backend::{Database, Fault};
use sea_orm::{ConnectionTrait, DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector};
use sea_orm_migration::MigratorTrait;

/// A connection past the adapter.
async fn connection(address: &str) -> Result<DatabaseConnection> {
    Ok(match address.parse()? {
        Location::Sqlite(path) => connect::migrating(&path).await?,
        Location::Postgres(address) => {
            let target = postgres::connect::Target::new(address).await?;
            SqlxPostgresConnector::from_sqlx_postgres_pool(target.single().await?)
        }
        Location::MySql(address) => {
            let target = mysql::connect::Target::new(address).await?;
            SqlxMySqlConnector::from_sqlx_mysql_pool(target.single().await?)
        }
    })
}

/// Checks with a fresh database of each dialect whose server is here.
async fn each(check: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    let directory = directory()?;
    check(&url(&directory, "main.db")).await.context("sqlite")?;
    for place in places().await? {
        check(&place.address).await?;
        place.drop().await?;
    }
    Ok(())
}

async fn run(address: &str, statements: &[&str]) -> Result<()> {
    let connection = connection(address).await?;
    for statement in statements {
        connection.execute_unprepared(statement).await.with_context(|| (*statement).to_owned())?;
    }
    Ok(connection.close().await?)
}

/// What a newer version might have added.
const ADDED: [&str; 5] = [
    "ALTER TABLE ticket ADD COLUMN later VARCHAR(40)",
    "ALTER TABLE event_log ADD COLUMN later BIGINT NOT NULL DEFAULT 7",
    "ALTER TABLE print_job ADD COLUMN later VARCHAR(40) NOT NULL DEFAULT 'x'",
    "CREATE TABLE later (id BIGINT NOT NULL PRIMARY KEY)",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9000_later', 0)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_added_is_left_alone() -> Result<()> {
    each(async |address| {
        let old = SqlDatabase::open(address).await?;
        old.commit(placing(order(1))).await?;
        run(address, &ADDED).await?;
        // Who was there goes on, and who comes now as well.
        old.commit(placing(order(2))).await?;
        for older in [OlderTables::Migrate, OlderTables::Refuse] {
            let beside = SqlDatabase::open_with(address, older).await?;
            ensure!(beside.migrated().is_empty());
            let id = order(3 + u128::from(older == OlderTables::Refuse));
            beside.commit(placing(id)).await?;
            while beside.sequence(100).await? > 0 {}
            let scope = Scope::Merchant(merchant());
            ensure!(beside.get(scope, Kind::Order, &id.to_string()).await?.is_some());
            let all = EventQuery { limit: 100, ..EventQuery::default() };
            ensure!(!beside.events(all).await?.is_empty());
        }
        let kept = connection(address).await?;
        let asked = "SELECT count(*) AS n FROM event_log WHERE later = 7";
        let asked = sea_orm::Statement::from_string(kept.get_database_backend(), asked);
        let row = kept.query_one_raw(asked).await?.context("a count")?;
        ensure!(row.try_get::<i64>("", "n")? == 8, "events have what was added");
        Ok(kept.close().await?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_older_versions_cannot_bear_is_refused() -> Result<()> {
    each(async |address| {
        drop(SqlDatabase::open(address).await?);
        let made = "INSERT INTO seaql_migrations (version, applied_at) \
                    VALUES ('m9001_no_more_classes_breaks_older', 0)";
        run(address, &[made]).await?;
        let error = SqlDatabase::open(address).await.err().context("it was opened")?;
        ensure!(error.fault == Fault::Rejected, "{error:?}");
        ensure!(error.chain().contains("m9001_no_more_classes_breaks_older"), "{error:?}");
        ensure!(error.chain().contains("run that version"), "{error:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_not_migrate_says_what_is_missing() -> Result<()> {
    each(async |address| {
        let refused = async |missing: &str| {
            let opened = SqlDatabase::open_with(address, OlderTables::Refuse).await;
            let error = opened.err().context("it was opened")?;
            ensure!(error.fault == Fault::Rejected, "{error:?}");
            let said = error.chain();
            ensure!(said.contains(missing) && said.contains("printmill migrate"), "{said}");
            Ok(said)
        };
        refused("m0001_foundation").await?;
        let partly = connection(address).await?;
        Migrator::up(&partly, Some(1)).await?;
        partly.close().await?;
        let said = refused("m0002_lanes").await?;
        ensure!(!said.contains("m0001_foundation"), "{said}");
        let migrated = SqlDatabase::open(address).await?;
        ensure!(migrated.migrated().first().is_some_and(|name| name == "m0002_lanes"));
        // A kind of record that came later has a table and no migration.
        run(address, &["DROP TABLE schedule"]).await?;
        refused("schedule").await?;
        ensure!(SqlDatabase::open(address).await?.migrated().is_empty());
        SqlDatabase::open_with(address, OlderTables::Refuse).await?;
        Ok(())
    })
    .await
}

/// With tables that are there, a user who may not make any is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_not_migrate_needs_no_right_to() -> Result<()> {
    for place in places().await? {
        drop((SqlDatabase::open(&place.address).await?, SqlQueue::open(&place.address).await?));
        let mut address = url::Url::parse(&place.address)?;
        let user = format!("narrow_{:08x}", printmill_backend::fresh::token() >> 32);
        let database = address.path().trim_start_matches('/').to_owned();
        let rights = "SELECT, INSERT, UPDATE, DELETE";
        if address.scheme() == "postgres" {
            place.run(format!("CREATE ROLE {user} LOGIN PASSWORD 'word'")).await?;
            let grant = format!("GRANT {rights} ON ALL TABLES IN SCHEMA public TO {user}");
            run(&place.address, &[&grant]).await?;
        } else {
            place.run(format!("CREATE USER {user}@'%' IDENTIFIED BY 'word'")).await?;
            place.run(format!("GRANT {rights} ON {database}.* TO {user}@'%'")).await?;
        }
        ensure!(address.set_username(&user).is_ok() && address.set_password(Some("word")).is_ok());
        let narrow = address.as_str();
        let database = SqlDatabase::open_with(narrow, OlderTables::Refuse).await?;
        database.commit(placing(order(1))).await?;
        SqlQueue::open(narrow).await?;
        let made = run(narrow, &["CREATE TABLE mine (id BIGINT)"]).await;
        ensure!(made.is_err(), "it may make a table");
        drop(database);
        place.drop().await?;
    }
    Ok(())
}
