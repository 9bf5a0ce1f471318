//! Connecting: who we are, how it is secured, and whether the server is one that will do.

use crate::config::{Credentials, NatsConfig};
use crate::error::{NATS, NatsError, unavailable};
use async_nats::jetstream::context::Context;
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, RequestErrorKind, ServerAddr,
};
use printmill_backend::BackendError;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

const OPEN: &str = "open the queue";
/// How long the server may take to answer a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often to ask a silent server whether it is there; the second time unanswered, it is not.
const PING: Duration = Duration::from_secs(5);
/// How long to wait for a connection that was lost.
const BACK_LIMIT: Duration = Duration::from_secs(3);
/// The pauses between attempts to connect again.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection that comes back by itself.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) context: Context,
    link: watch::Receiver<Link>,
}

/// How the connection is.
#[derive(Debug, Clone, Copy)]
struct Link {
    up: bool,
    losses: u64,
}

impl Connection {
    /// Waits a moment for a connection that is being made again. Without one it fails: what is
    /// asked meanwhile would only pile up.
    pub(crate) async fn up(&self, operation: &'static str) -> Result<(), BackendError> {
        let mut link = self.link.clone();
        let back = tokio::time::timeout(BACK_LIMIT, link.wait_for(|link| link.up)).await;
        match back {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable(operation, "there is no connection", "it is being made again")),
        }
    }

    /// Ends when the connection is lost: what was asked before is not answered.
    pub(crate) fn loss(&self) -> impl Future<Output = ()> + use<> {
        let mut link = self.link.clone();
        let losses = link.borrow().losses;
        async move {
            if link.wait_for(|link| link.losses != losses).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Connects and looks whether the server is new enough and has JetStream.
pub(crate) async fn connect(config: &NatsConfig) -> Result<Connection, BackendError> {
    let (changed, link) = watch::channel(Link { up: true, losses: 0 });
    let options = options(config).await?.event_callback(move |event| {
        match event {
            Event::Connected => changed.send_modify(|link| link.up = true),
            Event::Disconnected => changed.send_modify(|link| {
                *link = Link { up: false, losses: link.losses + 1 };
            }),
            other => tracing::warn!(backend = NATS, event = %other, "connection event"),
        }
        std::future::ready(())
    });
    let connected = options.connect(addresses(config)?).await;
    let client = connected.map_err(|error| not_connected(config, error))?;
    let server = client.server_info();
    if !client.is_server_compatible(2, 9, 0) {
        return Err(NatsError::TooOld { server: config.shown(), version: server.version }.into());
    }
    let context = match &config.domain {
        Some(domain) => async_nats::jetstream::with_domain(client.clone(), domain),
        None => async_nats::jetstream::new(client.clone()),
    };
    probe(&client, config).await?;
    Ok(Connection { client, context, link })
}

/// Looks whether JetStream is there for this account.
async fn probe(client: &Client, config: &NatsConfig) -> Result<(), BackendError> {
    let missing = || NatsError::NoJetStream(config.shown());
    let answer = client.request(format!("{}.INFO", config.api()), "".into()).await;
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => missing().into(),
        _ => unavailable(OPEN, "JetStream does not answer", error),
    })?;
    let info: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    if info.get("error").is_some() || !info.is_object() {
        return Err(missing().into());
    }
    Ok(())
}

async fn options(config: &NatsConfig) -> Result<ConnectOptions, NatsError> {
    let options = ConnectOptions::new()
        .name("printmill")
        .connection_timeout(ANSWER_LIMIT)
        .request_timeout(Some(ANSWER_LIMIT))
        .ping_interval(PING)
        .reconnect_delay_callback(|attempts| {
            let doubled = RECONNECT_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(8));
            doubled.min(RECONNECT_MAX)
        })
        .require_tls(config.tls.required);
    let options = match &config.credentials {
        Credentials::None => options,
        Credentials::Password(user, password) => {
            options.user_and_password(user.clone(), password.clone())
        }
        Credentials::Token(token) => options.token(token.clone()),
        Credentials::File(path) => {
            let text = read("creds", path).await?;
            let refused = |_| unusable("creds", path, "it holds no NATS credentials");
            options.credentials(&text).map_err(refused)?
        }
        Credentials::NKey(path) => options.nkey(read("nkey", path).await?.trim().to_owned()),
    };
    let options = match &config.tls.authority {
        Some(path) => {
            let text = read("ca", path).await?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(unusable("ca", path, "it holds no certificate"));
            }
            options.add_root_certificates(path.clone())
        }
        None => options,
    };
    Ok(match &config.tls.own {
        Some((certificate, key)) => {
            read("cert", certificate).await?;
            read("key", key).await?;
            options.add_client_certificate(certificate.clone(), key.clone())
        }
        None => options,
    })
}

async fn read(option: &'static str, path: &Path) -> Result<String, NatsError> {
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|error| unusable(option, path, &error.to_string()))
}

fn unusable(option: &'static str, path: &Path, reason: &str) -> NatsError {
    NatsError::File { option, path: path.display().to_string(), reason: reason.into() }
}

fn addresses(config: &NatsConfig) -> Result<Vec<ServerAddr>, NatsError> {
    let scheme = if config.tls.required { "tls" } else { "nats" };
    let addresses = config.servers.iter().map(|server| format!("{scheme}://{server}").parse());
    let addresses: Result<_, _> = addresses.collect();
    addresses.map_err(|_| NatsError::Address("write nats://host:4222"))
}

fn not_connected(config: &NatsConfig, error: ConnectError) -> BackendError {
    let server = config.shown();
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            NatsError::Unauthorised(server).into()
        }
        ConnectErrorKind::Tls => BackendError::from(NatsError::Tls(server)).because(error),
        ConnectErrorKind::Io if is_tls(&error) => {
            BackendError::from(NatsError::Tls(server)).because(error)
        }
        ConnectErrorKind::ServerParse => NatsError::Address("write nats://host:4222").into(),
        _ => unavailable(OPEN, &format!("{server} cannot be reached"), error),
    }
}

/// Whether bytes came that TLS does not accept.
fn is_tls(error: &ConnectError) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
}
