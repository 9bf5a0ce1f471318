//! From addresses to adapters: the only place that names them.

use crate::config::{Settings, Switch, without_password};
use crate::failure::{Failure, Outcome};
use crate::setup::{self, Setup};
use printmill_adapter_memory as memory;
#[cfg(feature = "sql")]
use printmill_adapter_sql::{OlderTables, SqlDatabase, SqlQueue};
use printmill_backend::{Blobs, Clock, Database, PaymentGateway, Queue, SystemClock};
use printmill_conformance::GatewayMethods;
use printmill_domain::problem::Code;
use printmill_resilience::Resilience;
use std::sync::Arc;

/// Where a database may be, and the feature that brings each.
const DATABASES: [(&str, &str); 6] = [
    ("memory", ""),
    ("sqlite", "sql"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
];
/// Where blobs may be, and the feature that brings each.
const BLOBS: [(&str, &str); 5] =
    [("memory", ""), ("file", "objects"), ("s3", "s3"), ("gs", "gcs"), ("az", "azure")];
/// Where a queue may be, and the feature that brings each.
const QUEUES: [(&str, &str); 11] = [
    ("memory", ""),
    ("sqlite", "sql"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
    ("nats", "nats"),
    ("tls", "nats"),
    ("amqp", "rabbitmq"),
    ("amqps", "rabbitmq"),
    ("sqs", "sqs"),
];

/// The backends of a node.
#[derive(Clone)]
pub(crate) struct Backends {
    /// Holds the truth.
    pub(crate) database: Arc<dyn Database>,
    /// Holds tickets that can be rebuilt.
    pub(crate) queue: Arc<dyn Queue>,
    /// Holds files.
    pub(crate) blobs: Blobs,
    /// Takes money.
    pub(crate) payments: Arc<dyn PaymentGateway>,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// What every call to the others goes through.
    pub(crate) resilience: Resilience,
}

impl Backends {
    /// What names those that do not answer.
    pub(crate) fn unanswered(&self) -> printmill_api::Unanswered {
        let resilience = self.resilience.clone();
        Arc::new(move || resilience.left_alone())
    }
}

/// Opens all backends of a node, tries them, and guards them.
pub(crate) async fn open(settings: &Settings, resilience: Resilience) -> Outcome<Backends> {
    setup::accept(setup::of_settings(settings))?;
    make_data_folder(settings)?;
    let (database, queue, blobs) =
        tokio::try_join!(open_database(settings), open_queue(settings), open_blobs(settings))?;
    let probed = blobs.probe().await;
    probed.map_err(|error| Failure::backend("blobs", settings.blobs(), &error))?;
    setup::accept(setup::of_backends(&Setup {
        settings,
        database: Some(database.caps()),
        queue: Some(queue.caps()),
    }))?;
    let (payments, limits) = (open_payments(&settings.payments)?, settings.backend_limits());
    Ok(Backends {
        database: resilience.database(database, limits.database),
        queue: resilience.queue(queue, limits.queue),
        blobs: resilience.blobs(blobs, limits.blobs),
        payments: resilience.payments(payments, limits.payments),
        clock: Arc::new(SystemClock),
        resilience,
    })
}

/// Makes the data folder, for this user only.
pub(crate) fn make_data_folder(settings: &Settings) -> Outcome {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data);
    made.map_err(|error| Failure::io("make the data folder", &settings.data, &error))
}

/// Opens the database alone.
pub(crate) async fn open_database(settings: &Settings) -> Outcome<Arc<dyn Database>> {
    let address = settings.database();
    match scheme("database", address)? {
        "memory" => {
            let opened = memory::open_database(address);
            Ok(Arc::new(opened.map_err(|error| wrong("database", address, &error))?))
        }
        #[cfg(feature = "sql")]
        "sqlite" => open_sql_database(settings).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => open_sql_database(settings).await,
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => open_sql_database(settings).await,
        other => Err(no_adapter("database", other, &DATABASES)),
    }
}

#[cfg(feature = "sql")]
async fn open_sql_database(settings: &Settings) -> Outcome<Arc<dyn Database>> {
    let older = match settings.migrate {
        Switch::On => OlderTables::Migrate,
        Switch::Off => OlderTables::Refuse,
    };
    let address = settings.database();
    let opened = SqlDatabase::open_with(address, older).await;
    Ok(Arc::new(opened.map_err(|error| Failure::backend("database", address, &error))?))
}

/// Makes the tables of the database and the queue, or brings them up to date. What was done.
pub(crate) async fn migrate(settings: &Settings) -> Outcome<Vec<String>> {
    make_data_folder(settings)?;
    let (address, queue) = (settings.database(), settings.queue());
    if matches!(scheme("queue", queue)?, "sqlite" | "postgres" | "postgresql" | "mysql" | "mariadb")
    {
        drop(open_queue(settings).await?);
    }
    match scheme("database", address)? {
        #[cfg(feature = "sql")]
        "sqlite" | "postgres" | "postgresql" | "mysql" | "mariadb" => {
            let opened = SqlDatabase::open_with(address, OlderTables::Migrate).await;
            let opened = opened.map_err(|error| Failure::backend("database", address, &error))?;
            Ok(opened.migrated().to_vec())
        }
        _ => {
            drop(open_database(settings).await?);
            Ok(vec![])
        }
    }
}

#[cfg(feature = "sql")]
async fn open_sql_queue(address: &str) -> Outcome<Arc<dyn Queue>> {
    let opened = SqlQueue::open(address).await;
    Ok(Arc::new(opened.map_err(|error| Failure::backend("queue", address, &error))?))
}

/// Opens the queue alone.
pub(crate) async fn open_queue(settings: &Settings) -> Outcome<Arc<dyn Queue>> {
    let address = settings.queue();
    match scheme("queue", address)? {
        "memory" => {
            let opened = memory::open_queue(address);
            Ok(Arc::new(opened.map_err(|error| wrong("queue", address, &error))?))
        }
        #[cfg(feature = "sql")]
        "sqlite" => open_sql_queue(address).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => open_sql_queue(address).await,
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => open_sql_queue(address).await,
        #[cfg(feature = "sqs")]
        "sqs" => {
            let opened = printmill_adapter_sqs::SqsQueue::open(address).await;
            Ok(Arc::new(opened.map_err(|error| Failure::backend("queue", address, &error))?))
        }
        #[cfg(feature = "nats")]
        "nats" | "tls" => {
            let opened = printmill_adapter_nats::NatsQueue::open(address).await;
            Ok(Arc::new(opened.map_err(|error| Failure::backend("queue", address, &error))?))
        }
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => {
            let opened = printmill_adapter_rabbitmq::RabbitMqQueue::open(address).await;
            Ok(Arc::new(opened.map_err(|error| Failure::backend("queue", address, &error))?))
        }
        other => Err(no_adapter("queue", other, &QUEUES)),
    }
}

/// Opens the store of files alone.
pub(crate) async fn open_blobs(settings: &Settings) -> Outcome<Blobs> {
    let address = settings.blobs();
    match scheme("blobs", address)? {
        "memory" => memory::open_blobs(address).map_err(|error| wrong("blobs", address, &error)),
        #[cfg(feature = "objects")]
        "file" => open_objects(address).await,
        #[cfg(feature = "s3")]
        "s3" => open_objects(address).await,
        #[cfg(feature = "gcs")]
        "gs" => open_objects(address).await,
        #[cfg(feature = "azure")]
        "az" => open_objects(address).await,
        other => Err(no_adapter("blobs", other, &BLOBS)),
    }
}

#[cfg(feature = "objects")]
async fn open_objects(address: &str) -> Outcome<Blobs> {
    let opened = printmill_adapter_objects::open(address).await;
    opened.map_err(|error| Failure::backend("blobs", address, &error))
}

/// Opens the payment gateway alone.
pub(crate) fn open_payments(address: &str) -> Outcome<Arc<dyn PaymentGateway>> {
    match scheme("payments", address)? {
        "sandbox" => Ok(Arc::new(memory::SandboxGateway::new())),
        other => Err(no_adapter("payments", other, &[("sandbox", "")])),
    }
}

/// Methods by which a gateway can be tried without anybody paying, if it has such.
pub(crate) fn methods_without_money(address: &str) -> Option<GatewayMethods> {
    (scheme("payments", address).ok()? == "sandbox").then_some(GatewayMethods {
        pays: memory::gateway::PAYS,
        declined: memory::gateway::DECLINED,
        unreachable: Some(memory::gateway::UNREACHABLE),
        take_money: false,
    })
}

fn scheme<'a>(key: &str, address: &'a str) -> Outcome<&'a str> {
    let found = address.split_once("://").map(|(scheme, _)| scheme);
    found.ok_or_else(|| {
        Failure::configuration(
            format!("the setting '{key}' = {} is no address", without_password(address)),
            "write SCHEME://…, as `printmill config --reference` shows",
        )
    })
}

fn wrong(key: &str, address: &str, error: &dyn std::error::Error) -> Failure {
    Failure::configuration(
        format!("the setting '{key}' = {} cannot be used: {error}", without_password(address)),
        "write it as `printmill config --reference` shows",
    )
}

/// No adapter took the address. `known` has each scheme and the feature that brings it.
fn no_adapter(key: &str, scheme: &str, known: &[(&str, &str)]) -> Failure {
    if let Some((_, feature)) = known.iter().find(|(known, _)| *known == scheme) {
        return Failure::new(
            Code::AdapterNotCompiled,
            format!("'{key}' is a {scheme}:// address, but this binary was built without that"),
            format!("build it with `--features {feature}`, or use another address"),
        );
    }
    let schemes: Vec<String> = known.iter().map(|(scheme, _)| format!("{scheme}://")).collect();
    Failure::new(
        Code::AdapterNotCompiled,
        format!("'{key}' is a {scheme}:// address, and this version has no adapter for that"),
        format!("use one of {}", schemes.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_its_adapter_names_the_feature() {
        let failure = no_adapter("database", "sqlite", &[("memory", ""), ("sqlite", "sql")]);
        assert_eq!(failure.code, "ADAPTER_NOT_COMPILED");
        assert!(failure.advice.contains("--features sql"), "{failure:?}");
    }

    #[test]
    fn no_message_holds_a_password() {
        let address = "nats://me:s3cret@host";
        let error = printmill_backend::BackendError::new(
            printmill_backend::Fault::Rejected,
            "nats",
            "open the queue",
            "no",
        );
        let failures =
            [wrong("queue", address, &error), Failure::backend("queue", address, &error)];
        for failure in failures {
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
            assert!(failure.message.contains("nats://me:hidden@host"), "{failure:?}");
        }
    }

    #[test]
    fn an_address_that_nobody_knows_lists_those_that_somebody_does() {
        let failure = no_adapter("blobs", "ftp", &[("memory", ""), ("file", "objects")]);
        assert_eq!(failure.code, "ADAPTER_NOT_COMPILED");
        assert!(failure.advice.contains("memory://, file://"), "{failure:?}");
        assert!(scheme("blobs", "/var/blobs").is_err());
    }
}
