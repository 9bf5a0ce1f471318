//! The address of a database server: who connects, where to, and how the connection is protected.

use crate::config::InvalidAddress;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// The longest address that is read, in bytes.
const LENGTH_MAX: usize = 4096;

/// A password, which is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// The password itself, for the driver only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "none" } else { "…" })
    }
}

/// How a connection is protected. The names are those that `libpq` gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// `disable`: not at all.
    Disable,
    /// `prefer`: encrypted if the server offers it, and nobody's certificate is checked.
    Prefer,
    /// `require`: encrypted, and nobody's certificate is checked.
    Require,
    /// `verify-ca`: encrypted, with a certificate from an authority that is trusted.
    VerifyCa,
    /// `verify-full`: and the certificate is for the host that was asked for.
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "disable" => TlsMode::Disable,
            "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            _ => return Err(()),
        })
    }
}

/// How who connects proves who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// By the password in the address, or the certificate that they show.
    Password,
    /// By passwords that AWS signs for its role (IAM database authentication): RDS and Aurora.
    Iam,
}

/// Where a database server is, who connects, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Who connects.
    pub user: String,
    /// Their password; empty for none.
    pub password: Password,
    /// The database's name.
    pub database: String,
    /// How the connection is protected: `verify-full`, unless the host is this machine or the
    /// address says otherwise.
    pub tls: TlsMode,
    /// The certificates of the authorities that are trusted instead of the public ones, as PEM.
    pub root_certificates: Option<PathBuf>,
    /// The certificate that this side shows, as PEM.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    pub key: Option<PathBuf>,
    /// How who connects proves who they are.
    pub authentication: Authentication,
    /// The AWS region that signs passwords, if the host's name does not tell.
    pub region: Option<String>,
}

impl ServerAddress {
    /// Reads `scheme://user:password@host:port/database?sslmode=…&sslrootcert=…`.
    pub(crate) fn read(address: &str, port: u16) -> Result<Self, InvalidAddress> {
        let invalid = |reason: String| InvalidAddress::new(address, reason);
        if address.len() > LENGTH_MAX {
            return Err(invalid(format!("it is longer than {LENGTH_MAX} bytes")));
        }
        let url = Url::parse(address).map_err(|error| {
            invalid(format!("{error}; write characters like '@' and '/' in a password as %40, %2F"))
        })?;
        let decoded = |part: &str| {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
            let decoded = decoded.map_err(|_| invalid("it is not UTF-8".into()))?;
            if decoded.contains('\0') {
                return Err(invalid("it holds a NUL character".into()));
            }
            Ok(decoded.into_owned())
        };
        let host = url.host_str().unwrap_or_default();
        let database = decoded(url.path().trim_start_matches('/'))?;
        if host.is_empty() || url.username().is_empty() || database.is_empty() {
            return Err(invalid(
                "name a user, a host and a database, as in \
                                postgres://user:password@host/database"
                    .into(),
            ));
        }
        if database.contains('/') {
            return Err(invalid("the path is the name of one database".into()));
        }
        let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
        let mut read = Self {
            tls: if is_this_machine(&host) { TlsMode::Prefer } else { TlsMode::VerifyFull },
            host,
            port: url.port().unwrap_or(port),
            user: decoded(url.username())?,
            password: Password(decoded(url.password().unwrap_or_default())?),
            database,
            root_certificates: None,
            certificate: None,
            key: None,
            authentication: Authentication::Password,
            region: None,
        };
        for (name, value) in url.query_pairs() {
            read.set(&name, &value).map_err(invalid)?;
        }
        if read.certificate.is_some() != read.key.is_some() {
            return Err(invalid("'sslcert' and 'sslkey' go together".into()));
        }
        read.check_authentication().map_err(|reason| invalid(reason.into()))?;
        Ok(read)
    }

    fn check_authentication(&self) -> Result<(), &'static str> {
        let iam = self.authentication == Authentication::Iam;
        if iam && !self.password.reveal().is_empty() {
            return Err("with 'auth=iam' AWS signs the passwords: leave the password out");
        }
        if iam && !matches!(self.tls, TlsMode::VerifyCa | TlsMode::VerifyFull) {
            return Err("'auth=iam' needs a server that proves who it is: sslmode=verify-full");
        }
        if self.region.is_some() && !iam {
            return Err("'region' goes with 'auth=iam'");
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let path = || Some(PathBuf::from(value));
        match name {
            "sslmode" => {
                self.tls = value.parse().map_err(|()| {
                    String::from("'sslmode' is disable, prefer, require, verify-ca or verify-full")
                })?;
            }
            "sslrootcert" => self.root_certificates = path(),
            "sslcert" => self.certificate = path(),
            "sslkey" => self.key = path(),
            "auth" => {
                self.authentication = match value {
                    "password" => Authentication::Password,
                    "iam" => Authentication::Iam,
                    _ => return Err(String::from("'auth' is password or iam")),
                };
            }
            "region" => self.region = Some(value.to_owned()),
            _ => {
                return Err(String::from(
                    "its parameters are sslmode, sslrootcert, sslcert, sslkey, auth and region",
                ));
            }
        }
        Ok(())
    }

    /// Where it is, without who connects: for messages.
    pub fn shown(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

fn is_this_machine(host: &str) -> bool {
    let address: Result<std::net::IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why no connection to a server comes about, and what to change.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn unreachable(
    address: &ServerAddress,
    error: &sea_orm::sqlx::Error,
) -> (printmill_backend::Fault, String) {
    use printmill_backend::Fault;
    let where_to = address.shown();
    let untrusted = match error {
        sea_orm::sqlx::Error::Tls(_) => true,
        // What is wrong with a certificate is found while bytes are read.
        sea_orm::sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    };
    match error {
        _ if untrusted => (
            Fault::Rejected,
            format!(
                "the TLS connection to {where_to} is not to be trusted: give the authority's \
                 certificate with 'sslrootcert' in the address, the host's name as it is in the \
                 certificate, or, in a network that you trust, 'sslmode=disable'"
            ),
        ),
        sea_orm::sqlx::Error::Configuration(_) => (
            Fault::Rejected,
            format!("{where_to} cannot be used as the address says: check its parameters"),
        ),
        _ => (Fault::Unavailable, format!("{where_to} does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<ServerAddress, InvalidAddress> {
        ServerAddress::read(address, 5432)
    }

    #[test]
    fn all_parts_are_read() -> Result<(), InvalidAddress> {
        let found = read(
            "postgres://me:a%40b%2Fc@db.example:6000/shop?sslmode=verify-ca&sslrootcert=/ca.pem\
             &sslcert=/c.pem&sslkey=/k.pem",
        )?;
        assert_eq!((found.host.as_str(), found.port), ("db.example", 6000));
        assert_eq!((found.user.as_str(), found.password.reveal()), ("me", "a@b/c"));
        assert_eq!((found.database.as_str(), found.tls), ("shop", TlsMode::VerifyCa));
        assert_eq!(found.root_certificates, Some("/ca.pem".into()));
        assert_eq!((found.certificate, found.key), (Some("/c.pem".into()), Some("/k.pem".into())));
        Ok(())
    }

    #[test]
    fn servers_elsewhere_must_prove_who_they_are() -> Result<(), InvalidAddress> {
        assert_eq!(read("postgres://me@db.example/shop")?.tls, TlsMode::VerifyFull);
        assert_eq!(read("postgres://me@127.0.0.1/shop")?.tls, TlsMode::Prefer);
        assert_eq!(read("postgres://me@[::1]/shop")?.tls, TlsMode::Prefer);
        assert_eq!(read("postgres://me@db/shop?sslmode=disable")?.tls, TlsMode::Disable);
        assert_eq!(read("postgres://me@db/shop")?.port, 5432);
        Ok(())
    }

    #[test]
    fn passwords_by_iam_are_neither_given_nor_overheard() -> Result<(), InvalidAddress> {
        let found = read("postgres://me@db.example/shop?auth=iam&region=eu-west-1")?;
        assert_eq!(found.authentication, Authentication::Iam);
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        for wrong in [
            "me:secret@db.example/shop?auth=iam",
            "me@db.example/shop?auth=iam&sslmode=require",
            "me@127.0.0.1/shop?auth=iam",
            "me@db.example/shop?auth=kerberos",
            "me@db.example/shop?region=eu-west-1",
        ] {
            let refused = read(&format!("postgres://{wrong}"));
            assert!(refused.is_err_and(|error| !error.to_string().contains("secret")), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn a_password_is_never_printed() -> Result<(), InvalidAddress> {
        let found = read("postgres://me:secret@db/shop")?;
        assert!(!format!("{found:?} {}", found.shown()).contains("secret"));
        Ok(())
    }
}
