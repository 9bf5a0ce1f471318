//! What a database's tables are, and what a node makes of it: it brings older ones up to date, or
//! says that it may not; it lives with newer ones, unless they say that it cannot.

use crate::dialect::Dialect;
use crate::error::orm_of;
use crate::migration::{BREAKS_OLDER, Migrator, TABLE, add_record_tables};
use printmill_backend::{BackendError, Fault};
use printmill_domain::aggregate::Kind;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use sea_orm_migration::migrator::MigratorTraitSelf;
use sea_orm_migration::prelude::*;
use std::collections::BTreeSet;

const OPERATION: &str = "bring the schema up to date";

/// What opening a database does about tables that are older than this version needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OlderTables {
    /// Brings them up to date.
    Migrate,
    /// Refuses them, and changes nothing.
    Refuse,
}

/// Makes sure that the tables are at least what this version needs. The migrations that it made.
///
/// Fails with `Rejected` for tables that may not be brought up to date, and for tables that a newer
/// version changed so that this one cannot use them any more.
pub(crate) async fn prepare(
    dialect: Dialect,
    connection: &DatabaseConnection,
    older: OlderTables,
) -> Result<Vec<String>, BackendError> {
    let failed = |error| orm_of(dialect, OPERATION, error);
    let made = made(connection).await.map_err(failed)?;
    let migrator = Beside { made };
    if let Some(name) = migrator.later().find(|name| name.ends_with(BREAKS_OLDER)) {
        let detail = format!(
            "a newer version of printmill made the change {name}, after which this one cannot use \
             the database: run that version or a later one"
        );
        return Err(BackendError::new(Fault::Rejected, dialect.name(), OPERATION, detail));
    }
    let missing = migrator.missing();
    if older == OlderTables::Refuse {
        let mut lacks = missing.clone();
        lacks.extend(missing_records(connection).await.map_err(failed)?);
        if lacks.is_empty() {
            return Ok(vec![]);
        }
        let detail = format!(
            "its tables are older than this version needs (missing: {}), and this node may not \
             change them: run `printmill migrate`",
            lacks.join(", ")
        );
        return Err(BackendError::new(Fault::Rejected, dialect.name(), OPERATION, detail));
    }
    migrator.up(connection, None).await.map_err(failed)?;
    add_record_tables(connection).await.map_err(failed)?;
    Ok(missing)
}

/// The names of the migrations that were made, by whatever version. Changes nothing.
async fn made(connection: &DatabaseConnection) -> Result<BTreeSet<String>, DbErr> {
    if !SchemaManager::new(connection).has_table(TABLE).await? {
        return Ok(BTreeSet::new());
    }
    let asked = format!("SELECT version FROM {TABLE}");
    let asked = Statement::from_string(connection.get_database_backend(), asked);
    let rows = connection.query_all_raw(asked).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

/// The kinds of records that have no table yet.
async fn missing_records(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let manager = SchemaManager::new(connection);
    let mut missing = vec![];
    for kind in Kind::ALL {
        if !manager.has_table(kind.name()).await? {
            missing.push(kind.name().to_owned());
        }
    }
    Ok(missing)
}

/// Our migrations, beside those that a newer version made and that we do not know.
struct Beside {
    made: BTreeSet<String>,
}

impl Beside {
    /// Those of a newer version.
    fn later(&self) -> impl Iterator<Item = &String> {
        let ours: BTreeSet<String> = names().collect();
        self.made.iter().filter(move |name| !ours.contains(*name))
    }

    /// Ours that were not made yet, the oldest first.
    fn missing(&self) -> Vec<String> {
        names().filter(|name| !self.made.contains(name)).collect()
    }
}

fn names() -> impl Iterator<Item = String> {
    <Migrator as MigratorTrait>::migrations()
        .into_iter()
        .map(|migration| migration.name().to_owned())
}

#[async_trait::async_trait]
impl MigratorTraitSelf for Beside {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        let later = self.later().map(|name| Box::new(Later(name.clone())) as _);
        <Migrator as MigratorTrait>::migrations().into_iter().chain(later).collect()
    }
}

/// A migration that a newer version made: there is nothing to do for it.
struct Later(String);

impl MigrationName for Later {
    fn name(&self) -> &str {
        &self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Later {
    async fn up(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
