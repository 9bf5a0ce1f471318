//! The address of a deployment's queue on NATS: servers, credentials, TLS and the stream.

use crate::error::NatsError;
use std::fmt;
use std::path::PathBuf;
use url::Url;

/// The stream's name unless the address says otherwise.
const STREAM: &str = "printmill";
/// The longest name of a stream.
const STREAM_CHARS_MAX: usize = 32;
/// The port unless the address says otherwise.
const PORT: u16 = 4222;

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// The servers of a cluster, each as `host:port`.
    pub servers: Vec<String>,
    /// Who connects.
    pub credentials: Credentials,
    /// How the connection is secured.
    pub tls: Tls,
    /// The stream, which is also the first part of the subjects.
    pub stream: String,
    /// On how many servers the stream is kept, if it is made.
    pub replicas: usize,
    /// The JetStream domain, where there are several.
    pub domain: Option<String>,
}

/// Who connects.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Anybody.
    None,
    /// A name and a password.
    Password(String, String),
    /// A token.
    Token(String),
    /// A file with a JWT and its key, as `nsc` writes them.
    File(PathBuf),
    /// A file with the seed of an NKey.
    NKey(PathBuf),
}

/// How the connection is secured. It is also when only the server demands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A connection without it is refused.
    pub required: bool,
    /// A file of certificates to trust, instead of the system's.
    pub authority: Option<PathBuf>,
    /// Files with a certificate and key of our own.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(user, _) => write!(f, "Password({user:?}, …)"),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::NKey(path) => write!(f, "NKey({path:?})"),
        }
    }
}

impl NatsConfig {
    /// Reads `nats://[user:password@]host[:port][,host[:port]…][?option=value&…]`. Alone before
    /// the `@` stands a token. `tls://` demands TLS. The options are `stream`, `replicas`,
    /// `domain`, `creds`, `nkey`, `ca`, `cert` and `key`; the last five are files.
    pub fn from_url(address: &str) -> Result<Self, NatsError> {
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let required = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(NatsError::Address("write nats://host:4222 or tls://host:4222")),
        };
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut config = Self {
            servers: hosts.split(',').map(server).collect::<Result<_, _>>()?,
            credentials: who(user)?,
            tls: Tls { required, ..Tls::default() },
            stream: STREAM.into(),
            replicas: 1,
            domain: None,
        };
        config.set_options(query)?;
        Ok(config)
    }

    fn set_options(&mut self, query: &str) -> Result<(), NatsError> {
        let (mut certificate, mut key) = (None, None);
        let url = parse(&format!("nats://host?{query}"))?;
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "stream" if is_name(&value) => self.stream = value,
                "stream" => {
                    return Err(NatsError::Option("stream", "1 to 32 of a-z, 0-9, - and _"));
                }
                "replicas" => match value.parse() {
                    Ok(replicas @ 1..=5) => self.replicas = replicas,
                    _ => return Err(NatsError::Option("replicas", "a number from 1 to 5")),
                },
                "domain" if is_name(&value) => self.domain = Some(value),
                "domain" => return Err(NatsError::Option("domain", "1 to 32 letters or digits")),
                "creds" => self.identify(Credentials::File(value.into()))?,
                "nkey" => self.identify(Credentials::NKey(value.into()))?,
                "ca" => self.tls.authority = Some(value.into()),
                "cert" => certificate = Some(value.into()),
                "key" => key = Some(value.into()),
                _ => return Err(NatsError::UnknownOption(name.chars().take(40).collect())),
            }
        }
        self.tls.own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(NatsError::Option("cert", "a file, together with key=FILE")),
        };
        self.tls.required |= self.tls.authority.is_some() || self.tls.own.is_some();
        Ok(())
    }

    fn identify(&mut self, credentials: Credentials) -> Result<(), NatsError> {
        if self.credentials != Credentials::None {
            return Err(NatsError::Address("give one of user:password@, token@, creds= and nkey="));
        }
        self.credentials = credentials;
        Ok(())
    }

    /// Where JetStream listens.
    pub(crate) fn api(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }

    /// The servers for messages, without secrets.
    pub fn shown(&self) -> String {
        self.servers.join(",")
    }
}

fn parse(url: &str) -> Result<Url, NatsError> {
    url.parse().map_err(|_| NatsError::Address("write nats://user:password@host:4222?stream=name"))
}

fn server(host: &str) -> Result<String, NatsError> {
    let url = parse(&format!("nats://{host}"))?;
    match url.host_str() {
        Some(name) if !name.is_empty() && url.path().len() <= 1 && url.username().is_empty() => {
            Ok(format!("{name}:{}", url.port().unwrap_or(PORT)))
        }
        _ => Err(NatsError::Address("name the server, as in nats://host:4222")),
    }
}

fn who(user: &str) -> Result<Credentials, NatsError> {
    let unescaped = |text: &str| {
        let pair = format!("v={}", text.replace('+', "%2B"));
        let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    Ok(match user.split_once(':') {
        Some((name, password)) => Credentials::Password(unescaped(name), unescaped(password)),
        None if user.is_empty() => Credentials::None,
        None => Credentials::Token(unescaped(user)),
    })
}

/// Whether something can be part of subjects and names at every server.
fn is_name(text: &str) -> bool {
    (1..=STREAM_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<NatsConfig, NatsError> {
        NatsConfig::from_url(address)
    }

    #[test]
    fn a_bare_address_is_enough() {
        let config = read("nats://localhost").unwrap();
        assert_eq!(config.servers, ["localhost:4222"]);
        assert_eq!((config.stream.as_str(), config.replicas), ("printmill", 1));
        assert_eq!((config.credentials, config.tls), (Credentials::None, Tls::default()));
    }

    #[test]
    fn everything_can_be_said() {
        let config = read(
            "tls://me:p%40ss+w%26rd@a:1,[::1]:2?stream=mill-2&replicas=3&domain=hub&ca=/c/ca.pem\
             &cert=/c/own.pem&key=/c/own.key",
        );
        let config = config.unwrap();
        assert_eq!(config.servers, ["a:1", "[::1]:2"]);
        assert_eq!(config.credentials, Credentials::Password("me".into(), "p@ss+w&rd".into()));
        assert_eq!((config.stream.as_str(), config.replicas), ("mill-2", 3));
        assert_eq!(config.domain.as_deref(), Some("hub"));
        assert!(config.tls.required);
        assert_eq!(config.tls.authority, Some("/c/ca.pem".into()));
        assert_eq!(config.tls.own, Some(("/c/own.pem".into(), "/c/own.key".into())));
        assert_eq!(
            read("nats://s3cret@a").unwrap().credentials,
            Credentials::Token("s3cret".into())
        );
        let file = read("nats://a?creds=/run/secrets/nats.creds").unwrap();
        assert_eq!(file.credentials, Credentials::File("/run/secrets/nats.creds".into()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for address in [
            "",
            "nats:",
            "nats://",
            "amqp://a",
            "nats://a:port",
            "nats://a/path",
            "nats://a?stream=a.b",
            "nats://a?stream=",
            "nats://a?replicas=0",
            "nats://a?replicas=six",
            "nats://a?cert=/c",
            "nats://me:pass@a?creds=/c",
            "nats://a?creds=/c&nkey=/n",
            "nats://a?size=3",
        ] {
            assert!(read(address).is_err(), "{address}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = read("nats://me:s3cret@host").unwrap();
        assert!(!format!("{config:?} {}", config.shown()).contains("s3cret"));
        for address in ["nats://me:s3cret@", "nats://me:s3cret@a?b=s3cret", "x://me:s3cret@a"] {
            let error = read(address).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
