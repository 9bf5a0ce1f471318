//! The settings of an S3-compatible store, from its address and the environment.

use crate::address::{self, Address};
use crate::error::ObjectsError;
use crate::remote::Remote;
use std::path::PathBuf;
use url::Url;

/// Where the bucket's name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Into the path: `https://store.example/bucket/key`. Most stores of one's own.
    Path,
    /// Into the host's name: `https://bucket.store.example/key`. Amazon's.
    Virtual,
}

/// Where links lead clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// To the node, which passes the bytes on. Clients need not reach the store.
    Node,
    /// To the store itself.
    Store,
}

/// Who the store is told asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Whoever the environment says: `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY`, a web
    /// identity (EKS, or any OIDC token), a container's role (ECS, EKS Pod Identity), or the
    /// instance's role, in this order.
    Chain,
    /// This key.
    Key {
        /// Its public half.
        access_key_id: String,
        /// Its secret half.
        secret_access_key: String,
        /// What a temporary key comes with.
        session_token: Option<String>,
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

/// Blobs in a bucket of an S3-compatible store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Before every key, without slashes around it; may be empty.
    pub prefix: String,
    /// The region; Amazon's buckets are in one, most others take any. `us-east-1` when neither
    /// the address nor `AWS_REGION` or `AWS_DEFAULT_REGION` says.
    pub region: Option<String>,
    /// The store's address, if it is not Amazon's; else `AWS_ENDPOINT_URL_S3` or
    /// `AWS_ENDPOINT_URL`. With `http://` nothing is encrypted on the way.
    pub endpoint: Option<Url>,
    /// The address by which clients reach the store, if it is another: links lead there.
    pub public_endpoint: Option<Url>,
    /// Where the bucket's name goes; by default the path with an endpoint, the host without.
    pub style: Option<Style>,
    /// Where links lead.
    pub links: Links,
    /// Whether the store is given the SHA-256 of what it gets, to check it on arrival.
    pub checksum: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// Authorities beside the system's that may vouch for the store, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Limits of each request.
    pub remote: Remote,
}

impl S3Config {
    /// A bucket, with the usual settings.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            public_endpoint: None,
            style: None,
            links: Links::Node,
            checksum: true,
            credentials: Credentials::Chain,
            ca_file: None,
            remote: Remote::default(),
        }
    }

    /// Reads an address: `s3://bucket/prefix?setting=value&…`. The settings are `region`,
    /// `endpoint`, `public_endpoint`, `style` (`path`, `virtual`), `links` (`node`, `store`),
    /// `checksum` (`sha256`, `none`), `access_key_id` with `secret_access_key_file`, `ca_file`,
    /// `timeout_seconds`, `connect_seconds`, `retries` and `retry_seconds`.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        let mut address = Address::parse(url)?;
        let mut config = Self::new(address.container.clone());
        config.prefix = address.prefix.clone();
        config.region = address.text("region")?;
        config.endpoint = address.server("endpoint")?;
        config.public_endpoint = address.server("public_endpoint")?;
        config.style =
            address.word("style", &[("path", Style::Path), ("virtual", Style::Virtual)])?;
        let links = address.word("links", &[("node", Links::Node), ("store", Links::Store)])?;
        config.links = links.unwrap_or(config.links);
        let checksum = address.word("checksum", &[("sha256", true), ("none", false)])?;
        config.checksum = checksum.unwrap_or(config.checksum);
        config.ca_file = address.file("ca_file")?;
        config.remote = Remote::read(&mut address)?;
        let key = (address.text("access_key_id")?, address.file("secret_access_key_file")?);
        address.finish()?;
        config.credentials = match key {
            (None, None) => Credentials::Chain,
            (Some(access_key_id), Some(path)) => Credentials::Key {
                access_key_id,
                secret_access_key: address::secret("secret_access_key_file", &path)?,
                session_token: None,
            },
            _ => {
                let why = "access_key_id and secret_access_key_file are given together";
                return Err(ObjectsError::setting("access_key_id", why));
            }
        };
        if config.public_endpoint.is_some() && config.links == Links::Node {
            let why = "links lead to the node; add links=store, or leave it out";
            return Err(ObjectsError::setting("public_endpoint", why));
        }
        Ok(config)
    }

    /// What the address left open, from the environment.
    pub(crate) fn completed(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ObjectsError> {
        let first = |names: &[&'static str]| {
            let mut found = names.iter().filter_map(|name| Some((*name, variable(name)?)));
            found.find(|(_, value)| !value.trim().is_empty())
        };
        if self.endpoint.is_none()
            && let Some((name, value)) = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
        {
            self.endpoint = Some(address::server(name, &value)?);
        }
        if self.region.is_none() {
            self.region = first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, value)| value);
        }
        Ok(self)
    }

    /// The region that requests are signed for.
    pub(crate) fn signing_region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    pub(crate) fn style(&self) -> Style {
        let usual = if self.endpoint.is_some() { Style::Path } else { Style::Virtual };
        self.style.unwrap_or(usual)
    }

    /// The bucket's address, without a slash at its end, at the endpoint or the public one.
    pub(crate) fn bucket_url(&self, endpoint: Option<&Url>) -> String {
        let amazon = || format!("https://s3.{}.amazonaws.com", self.signing_region());
        let server = endpoint.map_or_else(amazon, |url| url.as_str().trim_end_matches('/').into());
        match self.style() {
            Style::Path => format!("{server}/{}", self.bucket),
            Style::Virtual => server.replacen("://", &format!("://{}.", self.bucket), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &str) -> Result<S3Config, String> {
        let config = S3Config::from_url(&format!("s3://orders/{settings}"));
        config.map_err(|error| error.to_string())
    }

    fn url(config: &S3Config) -> String {
        config.bucket_url(config.endpoint.as_ref())
    }

    #[test]
    fn the_bucket_is_in_the_host_at_amazon_and_in_the_path_elsewhere() {
        let amazon = read("?region=eu-west-1").unwrap();
        assert_eq!(url(&amazon), "https://orders.s3.eu-west-1.amazonaws.com");
        let own = read("a/b?endpoint=http://127.0.0.1:3900/").unwrap();
        assert_eq!(url(&own), "http://127.0.0.1:3900/orders");
        assert_eq!(own.prefix, "a/b");
        let hosted = read("?endpoint=https://store.example&style=virtual").unwrap();
        assert_eq!(url(&hosted), "https://orders.store.example");
    }

    #[test]
    fn what_the_address_leaves_open_comes_from_the_environment() {
        let environment = |name: &str| match name {
            "AWS_REGION" => Some("eu-north-1".to_owned()),
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:9000".to_owned()),
            _ => None,
        };
        let config = read("").unwrap().completed(environment).unwrap();
        assert_eq!(config.signing_region(), "eu-north-1");
        assert_eq!(url(&config), "http://127.0.0.1:9000/orders");
        let given = read("?region=eu-west-1&endpoint=https://store.example").unwrap();
        let given = given.completed(environment).unwrap();
        assert_eq!(given.signing_region(), "eu-west-1");
        assert_eq!(url(&given), "https://store.example/orders");
        let nothing = read("").unwrap().completed(|_| None).unwrap();
        assert_eq!(nothing.signing_region(), "us-east-1");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let refusals = [
            ("?style=host", "path, virtual"),
            ("?endpoint=store.example", "endpoint"),
            ("?endpoint=https://key:5ecret@store.example", "endpoint"),
            ("?retries=1000", "up to 20"),
            ("?timeout_seconds=0", "at least 1"),
            ("?access_key_id=AKIA", "together"),
            ("?access_key_id=AKIA&secret_access_key_file=/nowhere/5", "cannot be read"),
            ("?access_key_id=AKIA&secret_access_key=5ecret", "by a variable or a file"),
            ("?public_endpoint=https://store.example", "links=store"),
            ("?region=", "empty"),
            ("?region=a&region=b", "twice"),
        ];
        for (settings, part) in refusals {
            let error = read(settings).unwrap_err();
            assert!(error.contains(part) && !error.contains("5ecret"), "{settings}: {error}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "5ecret\n").unwrap();
        let path = file.path().display();
        let config = read(&format!("?access_key_id=AKIA&secret_access_key_file={path}")).unwrap();
        let Credentials::Key { secret_access_key, .. } = &config.credentials else {
            panic!("{config:?}");
        };
        assert_eq!(secret_access_key, "5ecret");
        assert!(!format!("{config:?}").contains("5ecret"));
    }
}
