//! Connections to PostgreSQL: what they are set to, and what a server must be.

use super::error::opening;
use crate::server::passwords::Passwords;
use crate::server_address::{ServerAddress, TlsMode};
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sea_orm::sqlx::{self, ConnectOptions, Connection, Executor, Row};
use std::time::Duration;
use tokio::sync::watch;

/// The oldest server that is served, as the server says it.
const OLDEST: i32 = 13_00_00;
/// Connections for reading.
const READERS: u32 = 4;
/// How long a read waits for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// A connection that was idle for so long is tried before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// No statement of ours takes so long, in milliseconds; what does, stands in others' way.
const STATEMENT_LIMIT: &str = "60000";
/// How long a transaction may stand still, in milliseconds.
const IDLE_LIMIT: &str = "30000";

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: ServerAddress,
    passwords: Passwords,
}

/// What a server says of itself.
#[derive(Debug)]
pub(crate) struct Server {
    /// Whether a commit survives a crash of the machine.
    pub(crate) durable: bool,
}

impl Target {
    /// A server, and what it takes as passwords.
    pub(crate) async fn new(address: ServerAddress) -> Result<Self, BackendError> {
        let passwords = Passwords::of("postgres", &address).await?;
        Ok(Self { address, passwords })
    }

    /// Settings of every connection.
    async fn options(&self) -> Result<PgConnectOptions, BackendError> {
        let address = &self.address;
        let mode = match address.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .username(&address.user)
            .password(&self.passwords.next().await?)
            .database(&address.database)
            .ssl_mode(mode)
            .application_name("printmill")
            .statement_cache_capacity(128)
            .options([
                ("client_min_messages", "warning"),
                ("statement_timeout", STATEMENT_LIMIT),
                ("idle_in_transaction_session_timeout", IDLE_LIMIT),
                ("default_transaction_isolation", "read committed"),
            ])
            .disable_statement_logging();
        if let Some(path) = &address.root_certificates {
            options = options.ssl_root_cert(path);
        }
        if let (Some(certificate), Some(key)) = (&address.certificate, &address.key) {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        Ok(options)
    }

    /// A connection, to a server that takes writes.
    pub(crate) async fn connect(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<PgConnection, BackendError> {
        let options = self.options().await?.options(settings.iter().copied());
        let connecting = PgConnection::connect_with(&options).await;
        let mut connection = connecting.map_err(|error| opening(&self.address, error))?;
        self.check(&mut connection).await?;
        Ok(connection)
    }

    /// A connection that commits. It only ever looks up keys, so that other plans than by an
    /// index, which are right for small tables, never outlive them.
    pub(crate) async fn writing(&self) -> Result<PgConnection, BackendError> {
        self.connect(&[
            ("synchronous_commit", "on"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ])
        .await
    }

    /// A pool of connections that only read, opened when first needed. Its password is kept new
    /// until `counter` is closed.
    pub(crate) async fn readers(
        &self,
        counter: watch::Sender<u64>,
    ) -> Result<PgPool, BackendError> {
        let pool = pool(READERS).connect_lazy_with(self.reading().await?);
        let (target, kept) = (self.clone(), pool.clone());
        self.passwords.keep_new(counter, move || {
            let (target, kept) = (target.clone(), kept.clone());
            async move {
                kept.set_connect_options(target.reading().await?);
                Ok(())
            }
        });
        Ok(pool)
    }

    async fn reading(&self) -> Result<PgConnectOptions, BackendError> {
        Ok(self.options().await?.options([("default_transaction_read_only", "on")]))
    }

    /// A pool of one connection, for migrations and for listening.
    pub(crate) async fn single(&self) -> Result<PgPool, BackendError> {
        let options = self.options().await?.options([("statement_timeout", "0")]);
        Ok(pool(1).connect_lazy_with(options))
    }

    /// Asks the server what it is, and refuses one that is too old or takes no writes.
    pub(crate) async fn check(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Server, BackendError> {
        let where_to = self.address.shown();
        let refused =
            |fault, detail| Err(BackendError::new(fault, "postgres", "open the database", detail));
        let row = connection
            .fetch_one(
                "SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(), \
                 current_setting('transaction_read_only') = 'on', \
                 current_setting('fsync') = 'on', \
                 current_setting('server_encoding') = 'UTF8'",
            )
            .await
            .map_err(|error| opening(&self.address, error))?;
        let read = || -> sqlx::Result<(i32, bool, bool, bool, bool)> {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
            ))
        };
        let (version, recovers, read_only, fsync, utf8) =
            read().map_err(|error| opening(&self.address, error))?;
        if version < OLDEST {
            let detail = format!(
                "{where_to} runs PostgreSQL {}, which is too old: use 13 or later",
                version / 10_000
            );
            return refused(Fault::Rejected, detail);
        }
        if recovers || read_only {
            let detail = format!(
                "{where_to} is a replica or read-only: give the address of the primary (for \
                 Aurora, the writer endpoint)"
            );
            return refused(Fault::ReadOnly, detail);
        }
        if !utf8 {
            let detail = format!("{where_to} is not encoded in UTF-8: create it with UTF8");
            return refused(Fault::Rejected, detail);
        }
        Ok(Server { durable: fsync })
    }
}

/// Without limits of age there is no task that looks after the pool: an idle node stays idle.
fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_LIMIT)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                Ok(metadata.idle_for < TRUSTED_FOR || connection.ping().await.is_ok())
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                let row = connection.fetch_one("SELECT pg_is_in_recovery()").await?;
                if row.try_get(0)? {
                    let detail = "the server is a replica: give the address of the primary";
                    return Err(sqlx::Error::Io(std::io::Error::other(detail)));
                }
                Ok(())
            })
        })
}
