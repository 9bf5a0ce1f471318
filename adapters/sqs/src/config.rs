//! The settings of the queues, from their address.

use crate::error::SqsError;
use std::path::PathBuf;
use url::Url;

/// The longest prefix of queue names: with a lane, a dash and `.fifo`, 80 characters are allowed.
const PREFIX_MAX: usize = 30;

/// Which kind of queue is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The usual kind: any throughput, seldom a message twice.
    Standard,
    /// Queues whose names end in `.fifo`. Each ticket is a message group of its own, so that none
    /// waits for another. Slower and dearer; for where only such queues are allowed.
    Fifo,
}

/// Who the service is told asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Whoever the environment says: variables, a profile, a web identity, a container's role or
    /// the instance's, in this order.
    Chain,
    /// This key.
    Key {
        /// Its public half.
        access_key_id: String,
        /// Its secret half.
        secret_access_key: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Key { access_key_id, .. } => write!(f, "Key({access_key_id}, …)"),
        }
    }
}

/// Queues in Amazon SQS, one for each lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// What the names of queues begin with; a dash and the lane follow.
    pub prefix: String,
    /// The region; else what the environment or the profile says.
    pub region: Option<String>,
    /// The service's address, if it is not Amazon's; else `AWS_ENDPOINT_URL_SQS` or
    /// `AWS_ENDPOINT_URL`.
    pub endpoint: Option<Url>,
    /// The profile of `~/.aws/config` and `~/.aws/credentials`; else `AWS_PROFILE`.
    pub profile: Option<String>,
    /// Who asks.
    pub credentials: Credentials,
    /// Which kind of queue.
    pub kind: Kind,
    /// Whether queues that are missing are created. Else they must be there.
    pub create: bool,
    /// Authorities beside the system's that may vouch for the endpoint, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl SqsConfig {
    /// Queues with a prefix, with the usual settings.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            region: None,
            endpoint: None,
            profile: None,
            credentials: Credentials::Chain,
            kind: Kind::Standard,
            create: true,
            ca_file: None,
        }
    }

    /// Reads an address: `sqs://prefix?setting=value&…`. The settings are `region`, `endpoint`,
    /// `profile`, `access_key_id` with `secret_access_key_file`, `kind` (`standard`, `fifo`),
    /// `create` (`true`, `false`) and `ca_file`.
    pub fn from_url(text: &str) -> Result<Self, SqsError> {
        let wrong =
            |part: &str, why: &str| SqsError::Address { part: part.into(), why: why.into() };
        let url = Url::parse(text).map_err(|_| wrong("address", "write sqs://prefix"))?;
        if url.scheme() != "sqs" {
            return Err(wrong("scheme", "it is sqs://"));
        }
        let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        if !bare || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(wrong(
                "address",
                "write sqs://prefix?setting=value, without a user, a port or a path",
            ));
        }
        let prefix = url.host_str().unwrap_or_default();
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.chars().all(named) {
            let why = "it has 1 to 30 letters, digits, dashes and underscores";
            return Err(wrong("prefix", why));
        }
        Self::new(prefix).with_settings(&url)
    }

    fn with_settings(mut self, url: &Url) -> Result<Self, SqsError> {
        let config = &mut self;
        let mut seen = vec![];
        let mut key = (None, None);
        for (name, value) in url.query_pairs() {
            let setting = |why: &str| wrong(&format!("setting '{name}'"), why);
            if value.trim().is_empty() {
                return Err(setting("it is empty"));
            }
            if seen.contains(&name) {
                return Err(setting("it is given twice"));
            }
            match (&*name, &*value) {
                ("region", region) => config.region = Some(region.to_owned()),
                ("profile", profile) => config.profile = Some(profile.to_owned()),
                ("endpoint", endpoint) => {
                    let parsed = Url::parse(endpoint).ok().filter(is_server);
                    let how = "it is like https://sqs.example:9324";
                    config.endpoint = Some(parsed.ok_or_else(|| setting(how))?);
                }
                ("kind", "standard") => config.kind = Kind::Standard,
                ("kind", "fifo") => config.kind = Kind::Fifo,
                ("kind", _) => return Err(setting("it is standard or fifo")),
                ("create", "true") => config.create = true,
                ("create", "false") => config.create = false,
                ("create", _) => return Err(setting("it is true or false")),
                ("access_key_id", id) => key.0 = Some(id.to_owned()),
                ("secret_access_key_file", path) => {
                    let read = std::fs::read_to_string(path);
                    let text = read.map_err(|error| setting(&format!("{path}: {error}")))?;
                    key.1 = Some(text.trim().to_owned()).filter(|secret| !secret.is_empty());
                }
                ("ca_file", path) => config.ca_file = Some(path.into()),
                (name, _) if ["secret", "key", "token"].iter().any(|word| name.contains(word)) => {
                    return Err(setting(
                        "credentials are not written into addresses, which are shown in messages: \
                         set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile",
                    ));
                }
                _ => {
                    let how = "there is none of that name; there are region, endpoint, profile, \
                               access_key_id, secret_access_key_file, kind, create, ca_file";
                    return Err(setting(how));
                }
            }
            seen.push(name);
        }
        config.credentials = match key {
            (None, None) => Credentials::Chain,
            (Some(access_key_id), Some(secret_access_key)) => {
                Credentials::Key { access_key_id, secret_access_key }
            }
            _ => {
                let why = "it and secret_access_key_file, which must hold something, go together";
                return Err(wrong("setting 'access_key_id'", why));
            }
        };
        Ok(self)
    }
}

fn wrong(part: &str, why: &str) -> SqsError {
    SqsError::Address { part: part.into(), why: why.into() }
}

fn is_server(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_settings() {
        let text = "sqs://shop_1?region=eu-west-1&endpoint=http://127.0.0.1:9324&kind=fifo\
                    &create=false&profile=print&ca_file=/etc/ca.pem";
        let config = SqsConfig::from_url(text).unwrap();
        let expected = SqsConfig {
            region: Some("eu-west-1".into()),
            endpoint: Some("http://127.0.0.1:9324".parse().unwrap()),
            profile: Some("print".into()),
            kind: Kind::Fifo,
            create: false,
            ca_file: Some("/etc/ca.pem".into()),
            ..SqsConfig::new("shop_1")
        };
        assert_eq!(config, expected);
        assert_eq!(SqsConfig::from_url("sqs://shop").unwrap(), SqsConfig::new("shop"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        let refusals = [
            ("sqs://", "prefix"),
            ("sqs://a.b", "prefix"),
            ("sqs://shop/lane", "without a user"),
            ("sqs://key:5ecret@shop", "without a user"),
            ("sqs://shop?kind=fast", "standard or fifo"),
            ("sqs://shop?regoin=x", "there are region"),
            ("sqs://shop?region=a&region=b", "twice"),
            ("sqs://shop?region=", "empty"),
            ("sqs://shop?endpoint=queue", "endpoint"),
            ("sqs://shop?secret_access_key=5ecret", "AWS_SECRET_ACCESS_KEY"),
        ];
        for (text, part) in refusals {
            let error = SqsConfig::from_url(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("5ecret"), "{text}: {error}");
        }
    }
}
