//! Profiles: the sets of backends that Printmill is meant to run on, as servers of a test's own,
//! which it may stop, restart, wipe and break.

mod broker;
mod database;
mod deployment;
mod store;

pub use broker::Broker;
pub use database::Database;
pub use deployment::{Deployment, Layout, Seat};
pub use store::Store;

use anyhow::Result;

/// A set of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// SQLite as database and queue, files on disk.
    Local,
    /// NATS, PostgreSQL, S3.
    Nats,
    /// SQS (moto's), PostgreSQL, S3.
    Sqs,
    /// RabbitMQ, MariaDB, S3.
    RabbitMq,
}

/// The servers of a profile.
pub struct Servers {
    /// Holds tickets' messages.
    pub broker: Broker,
    /// Holds the truth.
    pub database: Database,
    /// Holds files.
    pub store: Store,
}

impl Servers {
    /// Starts them; nothing where a program is not installed, which was said.
    pub fn start(profile: Profile) -> Result<Option<Self>> {
        let (broker, database, store) = match profile {
            Profile::Local => (Some(Broker::File), Some(Database::File), Some(Store::Disk)),
            Profile::Nats => (Broker::nats()?, Database::postgres()?, Store::s3s_fs()?),
            Profile::Sqs => (Broker::sqs()?, Database::postgres()?, Store::s3s_fs()?),
            Profile::RabbitMq => (Broker::rabbitmq()?, Database::mariadb()?, Store::moto()?),
        };
        let all = broker.zip(database).zip(store);
        Ok(all.map(|((broker, database), store)| Self { broker, database, store }))
    }

    /// What tells nodes of them. Unset settings mean files in the data folder.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let addresses = [
            ("PRINTMILL_QUEUE", self.broker.address()),
            ("PRINTMILL_DATABASE", self.database.address()),
            ("PRINTMILL_BLOBS", self.store.address()),
        ];
        let mut settings: Vec<_> =
            addresses.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        settings.extend(store::credentials());
        settings
    }
}
