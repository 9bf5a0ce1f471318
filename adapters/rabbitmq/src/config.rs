//! The address of a deployment's queue on RabbitMQ: servers, credentials, TLS and names.

use crate::error::RabbitMqError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

const ADDRESS: &str = "write amqp://user:password@host:5672/vhost";
/// The longest prefix of names.
const PREFIX_CHARS_MAX: usize = 32;
/// How long RabbitMQ lets a consumer hold a message unless told otherwise.
const CONSUMER_TIMEOUT: u64 = 30 * 60;

/// What an address says.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitMqConfig {
    /// The servers of a cluster: hosts and ports.
    pub servers: Vec<(String, u16)>,
    /// Who connects.
    pub user: String,
    /// The password.
    pub password: String,
    /// The virtual host.
    pub vhost: String,
    /// What the names of queues and exchanges begin with.
    pub prefix: String,
    /// The server's `consumer_timeout`: after so long it takes a message away and closes the
    /// channel, so nothing is held as long.
    pub consumer_timeout: Duration,
    /// TLS, and how it is verified.
    pub tls: Option<Tls>,
}

/// How the connection is secured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A file of certificates to trust beside the system's.
    pub authority: Option<PathBuf>,
    /// Files with a certificate and key of our own.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// The password is not shown.
impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, user, vhost, prefix, consumer_timeout, tls, .. } = self;
        f.debug_struct("RabbitMqConfig")
            .field("servers", servers)
            .field("user", user)
            .field("vhost", vhost)
            .field("prefix", prefix)
            .field("consumer_timeout", consumer_timeout)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

impl RabbitMqConfig {
    /// Reads `amqp://[user:password@]host[:port][,host[:port]…][/vhost][?option=value&…]`, or
    /// `amqps://…` for TLS. The options are `prefix`, `consumer_timeout` (in seconds, as the
    /// server's), `ca`, `cert` and `key`; the last three are files.
    pub fn from_url(address: &str) -> Result<Self, RabbitMqError> {
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (tls, port) = match scheme {
            "amqp" => (None, 5672),
            "amqps" => (Some(Tls::default()), 5671),
            _ => return Err(RabbitMqError::Address(ADDRESS)),
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (who, places) = before.rsplit_once('@').unwrap_or(("guest:guest", before));
        let (hosts, vhost) = places.split_once('/').unwrap_or((places, "%2F"));
        let (user, password) =
            who.split_once(':').ok_or(RabbitMqError::Address("give user:password@, or neither"))?;
        let servers = hosts.split(',').map(|host| server(host, port));
        let mut config = Self {
            servers: servers.collect::<Result<_, _>>()?,
            user: unescaped(user),
            password: unescaped(password),
            vhost: unescaped(if vhost.is_empty() { "%2F" } else { vhost }),
            prefix: "printmill".into(),
            consumer_timeout: Duration::from_secs(CONSUMER_TIMEOUT),
            tls,
        };
        config.set_options(query)?;
        Ok(config)
    }

    fn set_options(&mut self, query: &str) -> Result<(), RabbitMqError> {
        let (mut authority, mut certificate, mut key) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "prefix" if is_name(&value) => self.prefix = value,
                "prefix" => {
                    return Err(RabbitMqError::Option("prefix", "1 to 32 of a-z, 0-9, -, _"));
                }
                "consumer_timeout" => match value.parse() {
                    Ok(seconds @ 6..=604_800) => {
                        self.consumer_timeout = Duration::from_secs(seconds);
                    }
                    _ => {
                        return Err(RabbitMqError::Option(
                            "consumer_timeout",
                            "6 to 604800 seconds",
                        ));
                    }
                },
                "ca" => authority = Some(value.into()),
                "cert" => certificate = Some(value.into()),
                "key" => key = Some(value.into()),
                _ => return Err(RabbitMqError::UnknownOption(name.chars().take(40).collect())),
            }
        }
        let own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(RabbitMqError::Option("cert", "a file, together with key=FILE")),
        };
        match &mut self.tls {
            Some(tls) => *tls = Tls { authority, own },
            None if authority.is_some() || own.is_some() => {
                return Err(RabbitMqError::Address("ca, cert and key are for amqps://"));
            }
            None => {}
        }
        Ok(())
    }

    /// The servers for messages, without secrets.
    pub fn shown(&self) -> String {
        let shown = self.servers.iter().map(|(host, port)| format!("{host}:{port}"));
        shown.collect::<Vec<_>>().join(",")
    }
}

fn server(host: &str, port: u16) -> Result<(String, u16), RabbitMqError> {
    let url: Url = format!("amqp://{host}").parse().map_err(|_| RabbitMqError::Address(ADDRESS))?;
    match url.host_str() {
        Some(name) if !name.is_empty() && url.username().is_empty() => {
            let name = name.trim_start_matches('[').trim_end_matches(']');
            Ok((name.to_owned(), url.port().unwrap_or(port)))
        }
        _ => Err(RabbitMqError::Address(ADDRESS)),
    }
}

fn unescaped(text: &str) -> String {
    let pair = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    (1..=PREFIX_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<RabbitMqConfig, RabbitMqError> {
        RabbitMqConfig::from_url(address)
    }

    #[test]
    fn a_bare_address_is_enough() {
        let config = read("amqp://localhost").unwrap();
        assert_eq!(config.servers, [("localhost".to_owned(), 5672)]);
        assert_eq!((config.user.as_str(), config.vhost.as_str()), ("guest", "/"));
        assert_eq!((config.prefix.as_str(), config.tls), ("printmill", None));
    }

    #[test]
    fn everything_can_be_said() {
        let config = read(
            "amqps://me:p%40ss+w%26rd@a:1,[::1]/print%2Fmill?prefix=m-2&consumer_timeout=60\
             &ca=/c/ca.pem&cert=/c/own.pem&key=/c/own.key",
        );
        let config = config.unwrap();
        assert_eq!(config.servers, [("a".to_owned(), 1), ("::1".to_owned(), 5671)]);
        assert_eq!((config.user.as_str(), config.password.as_str()), ("me", "p@ss+w&rd"));
        assert_eq!((config.vhost.as_str(), config.prefix.as_str()), ("print/mill", "m-2"));
        assert_eq!(config.consumer_timeout, Duration::from_secs(60));
        let own = Some(("/c/own.pem".into(), "/c/own.key".into()));
        assert_eq!(config.tls, Some(Tls { authority: Some("/c/ca.pem".into()), own }));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_its_secrets() {
        for address in [
            "",
            "nats://me:s3cret@a",
            "amqp://",
            "amqp://me@a",
            "amqp://me:s3cret@a:port",
            "amqp://me:s3cret@a?prefix=a.b",
            "amqp://me:s3cret@a?consumer_timeout=1",
            "amqp://me:s3cret@a?ca=/c",
            "amqps://me:s3cret@a?cert=/c",
            "amqp://me:s3cret@a?size=s3cret",
        ] {
            let error = read(address).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        assert!(!format!("{:?}", read("amqp://me:s3cret@a").unwrap()).contains("s3cret"));
    }
}
