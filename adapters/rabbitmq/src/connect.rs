//! Connecting: who we are, how it is secured, and what a failure means.

use crate::config::RabbitMqConfig;
use crate::error::{RabbitMqError, unavailable};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, Error, ErrorKind};
use printmill_backend::BackendError;
use std::path::Path;
use std::time::Duration;

const OPEN: &str = "open the queue";
/// How long connecting may take, in milliseconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Seconds between signs of life; without two of them the other side is gone.
const HEARTBEAT: u16 = 10;

/// Connects to the first server that answers.
pub(crate) async fn connect(config: &RabbitMqConfig) -> Result<Connection, BackendError> {
    let tls = tls(config).await?;
    let mut failed = None;
    for (host, port) in &config.servers {
        let runtime = lapin::runtime::default_runtime()
            .map_err(|error| unavailable(OPEN, "there is no runtime", error))?;
        let properties = ConnectionProperties::default().with_connection_name("printmill".into());
        let uri = uri(config, host, *port);
        let connecting = Connection::connect_uri_with_config(uri, properties, tls.clone(), runtime);
        match tokio::time::timeout(2 * CONNECT_LIMIT, connecting).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failed = Some(not_connected(config, error)),
            Err(late) => {
                failed = Some(unavailable(OPEN, &format!("{host}:{port} does not answer"), late));
            }
        }
    }
    Err(failed.unwrap_or_else(|| RabbitMqError::Address("name a server").into()))
}

fn uri(config: &RabbitMqConfig, host: &str, port: u16) -> AMQPUri {
    AMQPUri {
        scheme: if config.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: config.user.clone(),
                password: config.password.clone(),
            },
            host: host.to_owned(),
            port,
        },
        vhost: config.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(HEARTBEAT),
            connection_timeout: u64::try_from(CONNECT_LIMIT.as_millis()).ok(),
            ..AMQPQueryString::default()
        },
    }
}

async fn tls(config: &RabbitMqConfig) -> Result<OwnedTLSConfig, RabbitMqError> {
    let Some(tls) = &config.tls else { return Ok(OwnedTLSConfig::default()) };
    let cert_chain = match &tls.authority {
        Some(path) => {
            let text = String::from_utf8(read("ca", path).await?).unwrap_or_default();
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(unusable("ca", path, "it holds no certificate"));
            }
            Some(text)
        }
        None => None,
    };
    let identity = match &tls.own {
        Some((certificate, key)) => Some(OwnedIdentity::PKCS8 {
            pem: read("cert", certificate).await?,
            key: read("key", key).await?,
        }),
        None => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

async fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, RabbitMqError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| unusable(option, path, &error.to_string()))
}

fn unusable(option: &'static str, path: &Path, reason: &str) -> RabbitMqError {
    RabbitMqError::File { option, path: path.display().to_string(), reason: reason.into() }
}

fn not_connected(config: &RabbitMqConfig, error: Error) -> BackendError {
    let server = config.shown();
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                RabbitMqError::Unauthorised(server).into()
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                RabbitMqError::VirtualHost(server, config.vhost.clone()).into()
            }
            _ => unavailable(OPEN, &format!("{server} ended the connection"), error),
        },
        ErrorKind::IOError(io) if config.tls.is_some() && is_tls(io) => {
            BackendError::from(RabbitMqError::Tls(server)).because(error)
        }
        _ => unavailable(OPEN, &format!("{server} cannot be reached"), error),
    }
}

/// Whether the server answered, but not with TLS that verifies.
fn is_tls(io: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    !matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut)
}

/// What the server says of something that it refuses, and whether that is about its kind.
pub(crate) fn refusal(error: &Error) -> Option<(AMQPSoftError, String)> {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return None };
    match refusal.kind() {
        AMQPErrorKind::Soft(kind) => Some((kind.clone(), refusal.get_message().to_string())),
        AMQPErrorKind::Hard(_) => None,
    }
}
