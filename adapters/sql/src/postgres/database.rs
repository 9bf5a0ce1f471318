//! Opening a database on PostgreSQL.

use super::commit::Writing;
use super::connect::Target;
use super::{error, signal};
use crate::database::{SqlDatabase, capabilities};
use crate::dialect::Dialect;
use crate::reads::Reads;
use crate::schema_state::{self, OlderTables};
use crate::server::session::Session;
use crate::server::writer::{Signals, Writer};
use crate::server_address::ServerAddress;
use printmill_backend::BackendError;
use sea_orm::SqlxPostgresConnector;
use sea_orm::sqlx::Executor;
use std::sync::Arc;

/// Where processes tell each other that they committed.
const CHANNEL: &str = "printmill_commits";
/// The lock that processes take to bring a schema up to date: letters of our name.
pub(crate) const MIGRATING: &str = "SELECT pg_advisory_lock(8101525480)";

/// Opens a database, once its tables are what this version needs.
pub(crate) async fn open(
    address: ServerAddress,
    older: OlderTables,
) -> Result<SqlDatabase, BackendError> {
    let target = Target::new(address).await?;
    // Others wait here. The lock goes with the connection.
    let mut lock = target.connect(&[("statement_timeout", "0")]).await?;
    let server = target.check(&mut lock).await?;
    lock.execute(MIGRATING).await.map_err(|error| error::opening(&target.address, error))?;
    let migrated = prepare(&target, older).await?.into();
    drop(lock);
    let first = Writing::connect(&target).await?;
    let signals = Signals::new();
    let writer = Writer::start(target.clone(), first, &signals);
    let dialect = Dialect::Postgres;
    let reads = Reads::new(
        SqlxPostgresConnector::from_sqlx_postgres_pool(
            target.readers(signals.counter.clone()).await?,
        ),
        dialect,
    );
    signal::start(&target, CHANNEL, signals.local, signals.counter);
    let caps = capabilities(dialect.name(), server.durable);
    Ok(SqlDatabase { caps, engine: Arc::new(writer), reads, migrated })
}

async fn prepare(target: &Target, older: OlderTables) -> Result<Vec<String>, BackendError> {
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(target.single().await?);
    let prepared = schema_state::prepare(Dialect::Postgres, &connection, older).await;
    let _ = connection.close().await;
    prepared
}
