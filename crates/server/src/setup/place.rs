//! Where an address leads: who can reach what is there, and who can listen on the way.

use std::path::{Component, Path, PathBuf};

/// Who can reach a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The process itself.
    Process,
    /// Processes that see this machine's files.
    Files,
    /// Processes of this machine, by its network.
    Machine,
    /// Other machines as well.
    Network,
}

/// Who can reach the backend at an address.
pub(crate) fn reach(address: &str) -> Reach {
    match scheme(address) {
        "memory" | "sandbox" => Reach::Process,
        "sqlite" | "file" => Reach::Files,
        "s3" | "sqs" | "gs" | "az" => match option(address, "endpoint") {
            Some(endpoint) if all_here(&endpoint) => Reach::Machine,
            _ => Reach::Network,
        },
        _ if all_here(address) => Reach::Machine,
        _ => Reach::Network,
    }
}

/// What of an address goes over a network that others may listen on, without encryption, in
/// words; nothing where it is encrypted, stays on this machine, or has nothing to hide.
pub(crate) fn in_the_clear(address: &str) -> Option<&'static str> {
    if reach(address) != Reach::Network {
        return None;
    }
    let has_user = authority(address).contains('@');
    let option = |name| option(address, name);
    match scheme(address) {
        "nats" if option("ca").is_some() || option("cert").is_some() => None,
        "nats" if has_user => Some("the credentials, unless the server demands TLS"),
        "amqp" => Some("the password"),
        "postgres" | "postgresql" | "mysql" | "mariadb" => match option("sslmode").as_deref() {
            Some("disable") => Some("everything that is stored"),
            Some("prefer") => Some("everything that is stored, if somebody in between wants it"),
            _ => None,
        },
        "s3" | "az" | "gs" if is_plain(option("endpoint")) => Some("every file"),
        "sqs" if is_plain(option("endpoint")) => Some("every message"),
        _ => None,
    }
}

/// The file of an address of one, as far as that can be said without looking.
pub(crate) fn file(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("file://"))?;
    let path = std::path::absolute(Path::new(path)).ok()?;
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Whether a host is this machine's own.
pub(crate) fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || host == "localhost" || host.ends_with(".localhost")
}

fn scheme(address: &str) -> &str {
    address.split_once("://").map_or("", |(scheme, _)| scheme)
}

fn is_plain(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| scheme(&endpoint) == "http")
}

/// What lies between `://` and the path: who, and one or more hosts.
fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    // Also where a password holds letters that should have been escaped.
    let query = rest.find('?').unwrap_or(rest.len());
    let who = rest[..query].rfind('@').map_or(0, |at| at + 1);
    let path = rest[who..].find(['/', '?', '#']).map_or(rest.len(), |at| who + at);
    &rest[..path]
}

fn all_here(address: &str) -> bool {
    let authority = authority(address);
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let host = |of: &str| match of.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => is_here(host),
        _ => is_here(of),
    };
    !hosts.is_empty() && hosts.split(',').all(host)
}

fn option(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_who_can_reach_what_is_there() {
        use Reach::*;
        for (address, expected) in [
            ("memory://", Process),
            ("sqlite:///var/lib/printmill.db", Files),
            ("file://./blobs", Files),
            ("postgres://me:p@127.0.0.1:5432/shop", Machine),
            ("postgres://me:p@localhost/shop", Machine),
            ("postgres://me:p@[::1]:5432/shop", Machine),
            ("postgres://me:p@db.example/shop", Network),
            ("mysql://me:p@ss/w@db.example/shop", Network),
            ("nats://127.0.0.1:4222", Machine),
            ("nats://127.0.0.1:4222,nats-2:4222", Network),
            ("tls://token@localhost", Machine),
            ("amqp://guest:guest@127.0.0.1:5672/vhost?prefix=a", Machine),
            ("amqps://queue.example", Network),
            ("s3://bucket", Network),
            ("s3://bucket?endpoint=http://127.0.0.1:9000", Machine),
            ("s3://bucket?endpoint=http%3A%2F%2Fstore:9000&region=x", Network),
            ("sqs://prefix?endpoint=http://localhost:5000", Machine),
            ("gs://bucket", Network),
        ] {
            assert_eq!(reach(address), expected, "{address}");
        }
    }

    #[test]
    fn what_others_can_read_on_the_way_is_said() {
        for (address, seen) in [
            ("nats://me:p@queue.example", true),
            ("nats://queue.example", false),
            ("nats://me:p@queue.example?ca=/c.pem", false),
            ("tls://me:p@queue.example", false),
            ("nats://me:p@127.0.0.1", false),
            ("amqp://me:p@queue.example", true),
            ("amqps://me:p@queue.example", false),
            ("postgres://me:p@db.example/shop", false),
            ("postgres://me:p@db.example/shop?sslmode=disable", true),
            ("mysql://me:p@db.example/shop?sslmode=prefer", true),
            ("mysql://me:p@db.example/shop?sslmode=require", false),
            ("s3://bucket?endpoint=http://store.example", true),
            ("s3://bucket?endpoint=https://store.example", false),
            ("s3://bucket", false),
            ("sqlite:///a.db", false),
        ] {
            assert_eq!(in_the_clear(address).is_some(), seen, "{address}");
        }
    }

    #[test]
    fn a_file_is_the_same_however_its_path_is_written() {
        assert_eq!(file("sqlite:///a/b.db"), file("sqlite:///a/./c/../b.db"));
        assert_ne!(file("sqlite:///a/b.db"), file("sqlite:///a/c.db"));
        assert_eq!(file("postgres://h/a"), None);
    }
}
