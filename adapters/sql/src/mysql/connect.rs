//! Connections to MySQL and MariaDB: what they are set to, and what a server must be.

use super::error::opening;
use crate::server::passwords::Passwords;
use crate::server_address::{Authentication, ServerAddress, TlsMode};
use printmill_backend::{BackendError, Fault};
use sea_orm::sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlSslMode,
};
use sea_orm::sqlx::{self, ConnectOptions, Connection, Executor, Row};
use std::time::Duration;
use tokio::sync::watch;

/// Connections for reading.
const READERS: u32 = 4;
/// How long a read waits for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// A connection that was idle for so long is tried before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Settings of every connection: nothing is cut off to make it fit, each statement sees what was
/// committed before it, and nobody waits for a lock for long.
const SETTINGS: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
                        SESSION innodb_lock_wait_timeout = 10";
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

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
    /// How it compares text byte by byte, trailing spaces included.
    pub(crate) collation: &'static str,
}

impl Target {
    /// A server, and what it takes as passwords.
    pub(crate) async fn new(address: ServerAddress) -> Result<Self, BackendError> {
        let passwords = Passwords::of("mysql", &address).await?;
        Ok(Self { address, passwords })
    }

    async fn options(&self) -> Result<MySqlConnectOptions, BackendError> {
        let address = &self.address;
        let mode = match address.tls {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        };
        let mut options = MySqlConnectOptions::new()
            .host(&address.host)
            .port(address.port)
            .username(&address.user)
            .password(&self.passwords.next().await?)
            .database(&address.database)
            .ssl_mode(mode)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            // RDS checks what IAM signed itself, so it asks for it as it is: only within TLS.
            .enable_cleartext_plugin(address.authentication == Authentication::Iam)
            .statement_cache_capacity(128)
            .disable_statement_logging();
        if let Some(path) = &address.root_certificates {
            options = options.ssl_ca(path);
        }
        if let (Some(certificate), Some(key)) = (&address.certificate, &address.key) {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        Ok(options)
    }

    /// A connection, to a server that takes writes.
    pub(crate) async fn connect(&self) -> Result<MySqlConnection, BackendError> {
        let connecting = MySqlConnection::connect_with(&self.options().await?).await;
        let mut connection = connecting.map_err(|error| opening(&self.address, error))?;
        let set = set(&mut connection).await;
        set.map_err(|error| opening(&self.address, error))?;
        self.check(&mut connection).await?;
        Ok(connection)
    }

    /// A pool of connections that only read, opened when first needed. Its password is kept new
    /// until `counter` is closed.
    pub(crate) async fn readers(
        &self,
        counter: watch::Sender<u64>,
    ) -> Result<MySqlPool, BackendError> {
        let pool = pool(READERS, true).connect_lazy_with(self.options().await?);
        let (target, kept) = (self.clone(), pool.clone());
        self.passwords.keep_new(counter, move || {
            let (target, kept) = (target.clone(), kept.clone());
            async move {
                kept.set_connect_options(target.options().await?);
                Ok(())
            }
        });
        Ok(pool)
    }

    /// A pool of one connection, for migrations.
    pub(crate) async fn single(&self) -> Result<MySqlPool, BackendError> {
        Ok(pool(1, false).connect_lazy_with(self.options().await?))
    }

    /// Asks the server what it is, and refuses one that is too old or takes no writes.
    pub(crate) async fn check(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<Server, BackendError> {
        let where_to = self.address.shown();
        let refused =
            |fault, detail| Err(BackendError::new(fault, "mysql", "open the database", detail));
        let row = connection
            .fetch_one(
                "SELECT version(), CAST(@@global.read_only OR @@global.innodb_read_only AS SIGNED), \
                 CAST(@@global.innodb_flush_log_at_trx_commit AS SIGNED)",
            )
            .await
            .map_err(|error| opening(&self.address, error))?;
        let read = || -> sqlx::Result<(String, i64, i64)> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        };
        let (version, read_only, flush) = read().map_err(|error| opening(&self.address, error))?;
        let maria = version.contains("MariaDB");
        if !is_new_enough(&version, maria) {
            let (name, oldest) = if maria { ("MariaDB", "10.6") } else { ("MySQL", "8.0.17") };
            let detail = format!(
                "{where_to} runs {name} {version}, which is too old: use {oldest} or later"
            );
            return refused(Fault::Rejected, detail);
        }
        if read_only != 0 {
            let detail = format!(
                "{where_to} is a replica or read-only: give the address of the primary (for \
                 Aurora, the writer endpoint)"
            );
            return refused(Fault::ReadOnly, detail);
        }
        let collation = if maria { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        Ok(Server { durable: flush == 1, collation })
    }
}

fn is_new_enough(version: &str, maria: bool) -> bool {
    // Old clients made MariaDB put this before its version.
    let version = version.strip_prefix("5.5.5-").filter(|_| maria).unwrap_or(version);
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0_u32));
    let mut next = || numbers.next().unwrap_or_default();
    let found = (next(), next(), next());
    // Aurora says less: 8.0.mysql_aurora.3.08.
    let aurora = version.contains("aurora") && (found.0, found.1) >= (8, 0);
    if maria { found >= (10, 6, 0) } else { found >= (8, 0, 17) || aurora }
}

async fn set(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    connection.execute(SETTINGS).await?;
    connection.execute(ISOLATION).await?;
    Ok(())
}

/// Without limits of age there is no task that looks after the pool: an idle node stays idle.
fn pool(connections: u32, read_only: bool) -> MySqlPoolOptions {
    MySqlPoolOptions::new()
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
        .after_connect(move |connection, _| {
            Box::pin(async move {
                set(connection).await?;
                let asked =
                    "SELECT CAST(@@global.read_only OR @@global.innodb_read_only AS SIGNED)";
                let replica: i64 = connection.fetch_one(asked).await?.try_get(0)?;
                if replica != 0 {
                    let detail = "the server is a replica: give the address of the primary";
                    return Err(sqlx::Error::Io(std::io::Error::other(detail)));
                }
                if read_only {
                    connection.execute("SET SESSION TRANSACTION READ ONLY").await?;
                }
                Ok(())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_without_skip_locked_are_too_old() {
        let cases = [
            ("8.0.36", false, true),
            ("8.4.2", false, true),
            ("9.1.0", false, true),
            ("8.0.mysql_aurora.3.08.0", false, true),
            ("5.7.44-log", false, false),
            ("8.0.11", false, false),
            ("10.11.19-MariaDB-0+deb12u1", true, true),
            ("5.5.5-10.6.4-MariaDB", true, true),
            ("11.4.2-MariaDB", true, true),
            ("10.5.29-MariaDB", true, false),
        ];
        for (version, maria, new) in cases {
            assert_eq!(is_new_enough(version, maria), new, "{version}");
        }
    }
}
