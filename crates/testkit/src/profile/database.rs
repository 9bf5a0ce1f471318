//! Databases: stopped as by a crash, and started again.

use super::broker::own;
use anyhow::Result;
use printmill_test_servers::{MariaDb, Postgres};

/// What holds the truth.
pub enum Database {
    /// SQLite's file in the data folder.
    File,
    /// PostgreSQL.
    Postgres(Postgres),
    /// MariaDB.
    MariaDb(MariaDb),
}

impl Database {
    pub(super) fn postgres() -> Result<Option<Self>> {
        Ok(Postgres::start(&[])?.map(Self::Postgres))
    }

    pub(super) fn mariadb() -> Result<Option<Self>> {
        Ok(MariaDb::start(&[])?.map(Self::MariaDb))
    }

    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::File => None,
            Self::Postgres(postgres) => Some(postgres.address.clone()),
            Self::MariaDb(mariadb) => Some(mariadb.address.clone()),
        }
    }

    /// It dies, in the middle of whatever it does.
    pub fn stop(&mut self) -> Result<()> {
        match self {
            Self::File => Ok(()),
            // Killed, it would leave its shared memory and its children behind.
            Self::Postgres(postgres) => own(&mut postgres.process)?.quit(),
            Self::MariaDb(mariadb) => own(&mut mariadb.process)?.kill(),
        }
    }

    /// It recovers; it serves when this returns.
    pub fn resume(&mut self) -> Result<()> {
        match self {
            Self::File => Ok(()),
            Self::Postgres(postgres) => postgres.resume(),
            Self::MariaDb(mariadb) => own(&mut mariadb.process)?.resume(),
        }
    }
}
