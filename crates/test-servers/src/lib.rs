//! Real brokers, databases and stores for tests: found, started on loopback, restarted, wiped.
//!
//! A test asks a server's module for one. It gets the shared one that an environment variable
//! names, or one of its own; or nothing, where the program is not installed. That is a visible
//! skip on a developer's machine, and a failure in CI.

pub mod azurite;
pub mod find;
pub mod mariadb;
pub mod moto;
pub mod nats;
pub mod npm;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod rabbitmq;
pub mod s3s_fs;
pub mod shared;
mod template;

pub use azurite::Azurite;
pub use mariadb::MariaDb;
pub use moto::Moto;
pub use nats::Nats;
pub use postgres::Postgres;
pub use process::Process;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use s3s_fs::S3sFs;

use anyhow::bail;

/// What a test does without a server that it needs: it says so and is over, or fails in CI.
pub fn missing(server: &str, how: &str) -> anyhow::Result<()> {
    if std::env::var_os("CI").is_some_and(|value| value != "false" && value != "0") {
        bail!("{server} is needed in CI: {how}");
    }
    println!("SKIPPED: {server} is not installed here: {how}");
    Ok(())
}

/// The address of a server that runs already and that tests share, as in
/// `PRINTMILL_TEST_NATS=nats://127.0.0.1:4222`.
pub fn shared(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|address| !address.is_empty())
}
