//! What tables look like, and which changes of them older nodes cannot bear.

use super::servers::places;
use super::*;
use crate::config::Location;
use crate::migration::{BREAKS_OLDER, Migrator, TABLE};
use crate::sqlite::connect;
use crate::{mysql, postgres};
use anyhow::{Context, ensure};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqlxMySqlConnector, SqlxPostgresConnector,
    Statement,
};
use sea_orm_migration::MigratorTrait;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Tables of records are alike, and kinds come without a migration: two speak for all.
const RECORDS: [Kind; 2] = [Kind::Order, Kind::PrintJob];

/// A column.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    kind: String,
    nullable: bool,
    has_default: bool,
}

/// The columns by table and name, and the indexes by table and name with what they are.
#[derive(Debug, Clone, Default, PartialEq)]
struct Schema {
    columns: BTreeMap<(String, String), Column>,
    indexes: BTreeMap<(String, String), String>,
}

/// Each row has the table, the column, its type, and two times whether: it may be empty, and has a
/// default.
fn columns_query(backend: DbBackend) -> String {
    match backend {
        DbBackend::Sqlite => "SELECT t.name AS a, c.name AS b, lower(c.type) AS c, \
             CASE c.\"notnull\" WHEN 0 THEN 'YES' ELSE 'NO' END AS d, \
             CASE WHEN c.dflt_value IS NULL THEN 'NO' ELSE 'YES' END AS e \
             FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c \
             WHERE t.type IN ('table', 'view')"
            .into(),
        _ => {
            let (of, defaults) = match backend {
                DbBackend::MySql => ("database()", "extra LIKE '%auto_increment%'"),
                _ => ("current_schema()", "is_identity = 'YES'"),
            };
            format!(
                "SELECT table_name AS a, column_name AS b, \
                 concat(data_type, coalesce(concat('(', character_maximum_length, ')'), '')) AS c, \
                 is_nullable AS d, \
                 CASE WHEN column_default IS NOT NULL OR {defaults} THEN 'YES' ELSE 'NO' END AS e \
                 FROM information_schema.columns WHERE table_schema = {of}"
            )
        }
    }
}

/// Each row has the table, the index, and what it is; that begins with `UNIQUE` for unique ones.
fn indexes_query(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => {
            "SELECT t.name AS a, i.name AS b, \
             concat(CASE i.\"unique\" WHEN 1 THEN 'UNIQUE ' ELSE '' END, \
                    coalesce(s.sql, (SELECT group_concat(name) FROM pragma_index_info(i.name)))) AS c \
             FROM sqlite_schema AS t JOIN pragma_index_list(t.name) AS i \
             LEFT JOIN sqlite_schema AS s ON s.type = 'index' AND s.name = i.name \
             WHERE t.type = 'table'"
        }
        DbBackend::MySql => {
            "SELECT table_name AS a, index_name AS b, \
             concat(CASE min(non_unique) WHEN 0 THEN 'UNIQUE ' ELSE '' END, \
                    group_concat(column_name ORDER BY seq_in_index)) AS c \
             FROM information_schema.statistics WHERE table_schema = database() \
             GROUP BY table_name, index_name"
        }
        _ => {
            "SELECT tablename::TEXT AS a, indexname::TEXT AS b, \
             replace(replace(indexdef, 'CREATE ', ''), current_schema() || '.', '') AS c \
             FROM pg_indexes WHERE schemaname = current_schema()"
        }
    }
}

impl Schema {
    async fn read(connection: &DatabaseConnection) -> Result<Self> {
        let backend = connection.get_database_backend();
        let mut schema = Self::default();
        let asked = Statement::from_string(backend, columns_query(backend));
        for row in connection.query_all_raw(asked).await? {
            let text = |name: &str| row.try_get::<String>("", name);
            let column = Column {
                kind: text("c")?,
                nullable: text("d")? == "YES",
                has_default: text("e")? == "YES",
            };
            schema.columns.insert((text("a")?, text("b")?), column);
        }
        let asked = Statement::from_string(backend, indexes_query(backend));
        for row in connection.query_all_raw(asked).await? {
            let text = |name: &str| row.try_get::<String>("", name);
            schema.indexes.insert((text("a")?, text("b")?), text("c")?);
        }
        let of_others = |table: &str| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == table);
            table == TABLE || kind.is_some_and(|kind| !RECORDS.contains(&kind))
        };
        schema.columns.retain(|(table, _), _| !of_others(table));
        schema.indexes.retain(|(table, _), _| !of_others(table));
        Ok(schema)
    }

    fn has_table(&self, name: &str) -> bool {
        self.columns.keys().any(|(table, _)| table == name)
    }

    fn lines(&self) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::new();
        for ((table, name), Column { kind, nullable, has_default }) in &self.columns {
            let nullable = if *nullable { "" } else { " not null" };
            let has_default = if *has_default { " with a default" } else { "" };
            lines.insert(format!("{table}.{name}"), format!("{kind}{nullable}{has_default}"));
        }
        for ((table, name), what) in &self.indexes {
            lines.insert(format!("{table} index {name}"), what.clone());
        }
        lines
    }

    /// What is not as it was before.
    fn changes_since(&self, before: &Schema) -> String {
        let (old, new) = (before.lines(), self.lines());
        let mut text = String::new();
        for (name, was) in old.iter().filter(|(name, was)| new.get(*name) != Some(*was)) {
            let _ = writeln!(text, "- {name}: {was}");
        }
        for (name, is) in new.iter().filter(|(name, is)| old.get(*name) != Some(*is)) {
            let _ = writeln!(text, "+ {name}: {is}");
        }
        text
    }

    /// What nodes that know only what was before cannot bear.
    fn breaks(&self, before: &Schema) -> Vec<String> {
        let mut faults = vec![];
        for ((table, name), was) in &before.columns {
            let place = format!("{table}.{name}");
            match self.columns.get(&(table.clone(), name.clone())) {
                None => faults.push(format!("{place} is gone")),
                Some(is) if is.kind != was.kind => {
                    faults.push(format!("{place} was {}, is {}", was.kind, is.kind));
                }
                Some(is) if was.nullable && !is.nullable => {
                    faults.push(format!("{place} may not be empty any more"));
                }
                Some(is) if was.has_default && !is.has_default => {
                    faults.push(format!("{place} has no default any more"));
                }
                Some(_) => {}
            }
        }
        for ((table, name), is) in &self.columns {
            let is_new = !before.columns.contains_key(&(table.clone(), name.clone()));
            if is_new && before.has_table(table) && !is.nullable && !is.has_default {
                faults.push(format!("{table}.{name} is new, and older nodes leave it empty"));
            }
        }
        for ((table, name), is) in &self.indexes {
            let was = before.indexes.get(&(table.clone(), name.clone()));
            if before.has_table(table) && is.starts_with("UNIQUE") && was != Some(is) {
                faults.push(format!("{table} has a new rule of uniqueness: {name}"));
            }
        }
        faults
    }
}

/// A connection to a fresh database of each dialect whose server is here, and what keeps it.
async fn each(check: impl AsyncFn(&'static str, &DatabaseConnection) -> Result<()>) -> Result<()> {
    let directory = directory()?;
    let file = connect::migrating(&directory.path().join("main.db")).await?;
    check("sqlite", &file).await?;
    file.close().await?;
    for place in places().await? {
        let (name, connection) = match place.address.parse()? {
            Location::Postgres(address) => {
                let pool = postgres::connect::Target::new(address).await?.single().await?;
                ("postgres", SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
            }
            Location::MySql(address) => {
                let pool = mysql::connect::Target::new(address).await?.single().await?;
                ("mariadb", SqlxMySqlConnector::from_sqlx_mysql_pool(pool))
            }
            Location::Sqlite(_) => continue,
        };
        check(name, &connection).await.with_context(|| name)?;
        connection.close().await?;
        place.drop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_only_add_and_never_change() -> Result<()> {
    each(async |dialect, connection| {
        let mut before = Schema::default();
        for migration in Migrator::migrations() {
            let name = migration.name();
            Migrator::up(connection, Some(1)).await?;
            let after = Schema::read(connection).await?;
            let breaks = after.breaks(&before);
            ensure!(
                breaks.is_empty() || name.ends_with(BREAKS_OLDER),
                "{dialect}, {name}: {breaks:?}; add first, and remove one release later in a \
                 migration whose name ends with {BREAKS_OLDER}"
            );
            // What was released stays as it is: for other tables, write another migration.
            let changes = after.changes_since(&before);
            insta::assert_snapshot!(format!("{dialect}_{name}"), changes);
            before = after;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_older_nodes_cannot_bear_is_found() -> Result<()> {
    each(async |dialect, connection| {
        let quiet = [
            "CREATE TABLE made (a BIGINT NOT NULL, b VARCHAR(40) NOT NULL DEFAULT 'x', c BIGINT)",
            "ALTER TABLE made ADD COLUMN d BIGINT",
            "ALTER TABLE made ADD COLUMN e BIGINT NOT NULL DEFAULT 7",
            "CREATE INDEX made_by_d ON made (d)",
        ];
        // SQLite cannot do to a table that is there what only servers are asked for.
        let of_servers: &[(&str, &str)] = match dialect {
            "postgres" => &[
                ("ALTER TABLE made ALTER c SET NOT NULL", "may not be empty"),
                ("ALTER TABLE made ALTER b TYPE VARCHAR(20)", "was character varying(40)"),
                ("ALTER TABLE made ALTER b DROP DEFAULT", "no default any more"),
                ("ALTER TABLE made ADD COLUMN g BIGINT NOT NULL", "made.g is new"),
            ],
            "mariadb" => &[
                ("ALTER TABLE made MODIFY c BIGINT NOT NULL", "may not be empty"),
                ("ALTER TABLE made MODIFY b VARCHAR(20) NOT NULL DEFAULT 'x'", "varchar(40)"),
                ("ALTER TABLE made ALTER b DROP DEFAULT", "no default any more"),
                ("ALTER TABLE made ADD COLUMN g BIGINT NOT NULL", "made.g is new"),
            ],
            _ => &[],
        };
        let of_all = [
            ("ALTER TABLE made RENAME COLUMN c TO f", "made.c is gone"),
            ("CREATE UNIQUE INDEX made_by_a ON made (a)", "uniqueness: made_by_a"),
            ("ALTER TABLE made DROP COLUMN e", "made.e is gone"),
            ("DROP TABLE made", "made.a is gone"),
        ];
        let mut before = Schema::default();
        for statement in quiet {
            connection.execute_unprepared(statement).await?;
            let after = Schema::read(connection).await?;
            ensure!(after != before, "{statement} is not seen");
            ensure!(after.breaks(&before).is_empty(), "{statement}: {:?}", after.breaks(&before));
            before = after;
        }
        for (statement, words) in of_servers.iter().chain(&of_all) {
            connection.execute_unprepared(statement).await?;
            let after = Schema::read(connection).await?;
            let faults = after.breaks(&before);
            ensure!(faults.iter().any(|fault| fault.contains(words)), "{statement}: {faults:?}");
            before = after;
        }
        Ok(())
    })
    .await
}
