//! Opening a database on MySQL or MariaDB.

use super::commit::Writing;
use super::connect::Target;
use super::{error, watch};
use crate::database::{SqlDatabase, capabilities};
use crate::dialect::Dialect;
use crate::reads::Reads;
use crate::schema_state::{self, OlderTables};
use crate::server::session::Session;
use crate::server::writer::{Signals, Writer};
use crate::server_address::ServerAddress;
use printmill_backend::{BackendError, Fault};
use sea_orm::SqlxMySqlConnector;
use sea_orm::sqlx::mysql::MySqlConnection;
use sea_orm::sqlx::{self, Executor, Row};
use std::sync::Arc;

/// Opens a database, once its tables are what this version needs.
pub(crate) async fn open(
    address: ServerAddress,
    older: OlderTables,
) -> Result<SqlDatabase, BackendError> {
    let target = Target::new(address).await?;
    // Others wait here. The lock goes with the connection.
    let mut lock = target.connect().await?;
    let server = target.check(&mut lock).await?;
    take_lock(&target, &mut lock).await?;
    let migrated = prepare(&target, older).await?.into();
    drop(lock);
    let first = Writing::connect(&target).await?;
    let signals = Signals::new();
    let writer = Writer::start(target.clone(), first, &signals);
    let dialect = Dialect::MySql;
    let reads = Reads::new(
        SqlxMySqlConnector::from_sqlx_mysql_pool(target.readers(signals.counter.clone()).await?),
        dialect,
    );
    watch::start(&target, signals.counter);
    let caps = capabilities(dialect.name(), server.durable);
    Ok(SqlDatabase { caps, engine: Arc::new(writer), reads, migrated })
}

/// Waits until no other process makes tables in this database.
pub(crate) async fn take_lock(
    target: &Target,
    connection: &mut MySqlConnection,
) -> Result<(), BackendError> {
    let taking = "SELECT CAST(get_lock(concat('printmill ', left(database(), 40)), 120) AS SIGNED)";
    let taken: sqlx::Result<Option<i64>> =
        connection.fetch_one(taking).await.and_then(|row| row.try_get(0));
    match taken.map_err(|error| error::opening(&target.address, error))? {
        Some(1) => Ok(()),
        _ => {
            let detail = "another process has been making its tables for two minutes";
            Err(BackendError::new(Fault::Unavailable, "mysql", "open the database", detail))
        }
    }
}

async fn prepare(target: &Target, older: OlderTables) -> Result<Vec<String>, BackendError> {
    let connection = SqlxMySqlConnector::from_sqlx_mysql_pool(target.single().await?);
    let prepared = schema_state::prepare(Dialect::MySql, &connection, older).await;
    let _ = connection.close().await;
    prepared
}
