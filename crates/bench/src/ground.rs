//! The backends that a node is measured on.

use clap::ValueEnum;
use printmill_testkit::Place;
use printmill_testkit::profile::{Profile, Servers};

/// A set of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// SQLite and files on disk.
    Local,
    /// NATS, PostgreSQL and S3.
    Nats,
    /// SQS, PostgreSQL and S3.
    Sqs,
    /// RabbitMQ, MariaDB and S3.
    Rabbitmq,
}

impl On {
    /// What it is made of, for titles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            On::Local => "SQLite and disk",
            On::Nats => "NATS, PostgreSQL and S3",
            On::Sqs => "SQS (moto), PostgreSQL and S3",
            On::Rabbitmq => "RabbitMQ, MariaDB and S3",
        }
    }
}

/// A place with running servers for its nodes.
pub(crate) struct Ground {
    /// Where the nodes are.
    pub(crate) place: Place,
    /// What they run on.
    pub(crate) servers: Servers,
}

impl Ground {
    /// Starts the servers; fails where one is not installed.
    pub(crate) fn open(on: On) -> anyhow::Result<Self> {
        let profile = match on {
            On::Local => Profile::Local,
            On::Nats => Profile::Nats,
            On::Sqs => Profile::Sqs,
            On::Rabbitmq => Profile::RabbitMq,
        };
        let servers = Servers::start(profile)?;
        let Some(servers) = servers else {
            anyhow::bail!("install the servers with `cargo xtask servers install`");
        };
        let mut place = Place::new()?;
        for (name, value) in servers.settings() {
            place.set(name, value);
        }
        Ok(Self { place, servers })
    }
}
