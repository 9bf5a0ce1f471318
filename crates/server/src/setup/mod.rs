//! Set-ups that contradict themselves, and those that work but should not stay as they are: one
//! function for each rule, over the settings and what the backends say of themselves.

pub(crate) mod place;

use crate::config::{Role, Settings, Switch, without_password};
use crate::failure::{Failure, Outcome};
use place::{Reach, file, in_the_clear, is_here, reach};
use printmill_backend::database::DatabaseCaps;
use printmill_backend::queue::QueueCaps;
use printmill_engine::LEASE;
use serde::Serialize;
use url::Url;

/// What a message must be able to carry: a ticket's trace, with room to spare.
const PAYLOAD_MIN: usize = 256;

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The rule.
    pub(crate) rule: &'static str,
    /// Whether a node does not start so.
    pub(crate) refused: bool,
    /// One sentence: what contradicts what, or what it leads to.
    pub(crate) message: String,
    /// One sentence: what to change.
    pub(crate) advice: String,
}

impl Finding {
    fn refused(rule: &'static str, message: String, advice: impl Into<String>) -> Self {
        Self { rule, refused: true, message, advice: advice.into() }
    }

    fn warned(rule: &'static str, message: String, advice: impl Into<String>) -> Self {
        Self { rule, refused: false, message, advice: advice.into() }
    }
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        Failure::configuration(finding.message, finding.advice)
    }
}

/// A set-up whose backends were opened.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// The settings.
    pub(crate) settings: &'a Settings,
    /// What the database says of itself, if it could be opened.
    pub(crate) database: Option<&'a DatabaseCaps>,
    /// What the queue says of itself, likewise.
    pub(crate) queue: Option<&'a QueueCaps>,
}

/// The rules that need nothing but the settings.
const OF_SETTINGS: [fn(&Settings) -> Option<Finding>; 8] = [
    one_file_for_two,
    files_of_one_machine,
    a_signing_key_for_each,
    https_without_tls,
    links_to_this_machine_only,
    keys_in_the_clear,
    backends_in_the_clear,
    a_second_node_needs_the_key,
];

/// The rules about what the backends say of themselves.
const OF_BACKENDS: [fn(&Setup<'_>) -> Option<Finding>; 4] =
    [one_process_only, leases_too_short, payload_too_small, commits_may_be_lost];

/// What is to be said of the settings alone.
pub(crate) fn of_settings(settings: &Settings) -> Vec<Finding> {
    OF_SETTINGS.iter().filter_map(|rule| rule(settings)).collect()
}

/// What is to be said of settings and backends together, beside [`of_settings`].
pub(crate) fn of_backends(setup: &Setup<'_>) -> Vec<Finding> {
    OF_BACKENDS.iter().filter_map(|rule| rule(setup)).collect()
}

/// Refuses what a node must not start with, and logs the rest.
pub(crate) fn accept(findings: Vec<Finding>) -> Outcome {
    for finding in findings {
        if finding.refused {
            return Err(finding.into());
        }
        let Finding { rule, message, advice, .. } = finding;
        tracing::warn!(rule, advice, "{message}");
    }
    Ok(())
}

/// The settings that name backends, and their addresses.
fn addresses(settings: &Settings) -> [(&'static str, &str); 3] {
    [("database", settings.database()), ("queue", settings.queue()), ("blobs", settings.blobs())]
}

/// A queue's file may be thrown away at any time; a database's must not.
fn one_file_for_two(settings: &Settings) -> Option<Finding> {
    let (database, queue) = (file(settings.database())?, file(settings.queue())?);
    (database == queue).then(|| {
        Finding::refused(
            "one_file_for_two",
            format!("'database' and 'queue' are the same file, {}", database.display()),
            "give the queue a file of its own, or remove the setting 'queue'; a queue that is \
             damaged is replaced by an empty one",
        )
    })
}

/// Roles that can be anywhere need files that they can all see.
fn files_of_one_machine(settings: &Settings) -> Option<Finding> {
    if settings.roles.are_all() || settings.shared_files == Switch::On {
        return None;
    }
    let find =
        |wanted| addresses(settings).into_iter().find(|(_, address)| reach(address) == wanted);
    let ((here, path), (there, address)) = (find(Reach::Files)?, find(Reach::Network)?);
    Some(Finding::refused(
        "files_of_one_machine",
        format!(
            "'{here}' = {path} is seen by this machine only, '{there}' = {} by others as well, \
             and 'roles' = {} leaves work to processes that may run there",
            without_password(address),
            settings.roles
        ),
        format!(
            "give '{here}' an address that every machine reaches; or, if all processes do see \
             that path, since they run on this machine or the folder is a shared file system, \
             set 'shared_files' = on"
        ),
    ))
}

/// Each node would sign with a key of its own, and refuse the links of the others.
fn a_signing_key_for_each(settings: &Settings) -> Option<Finding> {
    let alone = settings.roles.are_all() || settings.shared_files == Switch::On;
    if alone || !signs_with_its_own(settings) {
        return None;
    }
    Some(Finding::refused(
        "a_signing_key_for_each",
        format!(
            "'signing_key' is not set, so this node would sign links with a key of its own in {}, \
             and other nodes on 'database' = {} would refuse them",
            settings.data.display(),
            without_password(settings.database())
        ),
        "set PRINTMILL_SIGNING_KEY to the same 64 hexadecimal digits on all nodes, as `openssl \
         rand -hex 32` gives them",
    ))
}

/// A whole node may well be the only one; whether it is cannot be known.
fn a_second_node_needs_the_key(settings: &Settings) -> Option<Finding> {
    (settings.roles.are_all() && signs_with_its_own(settings)).then(|| {
        Finding::warned(
            "a_second_node_needs_the_key",
            format!(
                "'signing_key' is not set: links and leases are signed with a key in {}, which \
                 no other node has",
                settings.data.display()
            ),
            "before a second node serves the same address, or if that folder does not last, set \
             PRINTMILL_SIGNING_KEY to the same on all",
        )
    })
}

fn signs_with_its_own(settings: &Settings) -> bool {
    settings.roles.has(Role::Api)
        && settings.signing_key.is_none()
        && reach(settings.database()) == Reach::Network
}

fn public_url(settings: &Settings) -> Option<Url> {
    Url::parse(settings.public_url.as_deref()?).ok()
}

/// Nodes speak no TLS themselves.
fn https_without_tls(settings: &Settings) -> Option<Finding> {
    let url = public_url(settings)?;
    let host: std::net::IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
    let itself =
        host == settings.listen.ip() && url.port_or_known_default() == Some(settings.listen.port());
    let serves = settings.roles.has(Role::Api);
    (serves && url.scheme() == "https" && itself).then(|| {
        Finding::refused(
            "https_without_tls",
            format!(
                "'public_url' = {url} leads straight to 'listen' = {}, where no TLS is spoken",
                settings.listen
            ),
            "put a proxy with TLS in front and name its address, or write http://",
        )
    })
}

fn links_to_this_machine_only(settings: &Settings) -> Option<Finding> {
    let url = public_url(settings)?;
    let open = settings.roles.has(Role::Api) && !settings.listen.ip().is_loopback();
    (open && is_here(url.host_str()?)).then(|| {
        Finding::warned(
            "links_to_this_machine_only",
            format!(
                "'listen' = {} serves other machines, but links begin with 'public_url' = {url}, \
                 which each takes for itself",
                settings.listen
            ),
            "set 'public_url' to how clients reach this node",
        )
    })
}

fn keys_in_the_clear(settings: &Settings) -> Option<Finding> {
    if !settings.roles.has(Role::Api) {
        return None;
    }
    let plain = match public_url(settings) {
        Some(url) => url.scheme() == "http" && !is_here(url.host_str()?),
        None => !settings.listen.ip().is_loopback(),
    };
    plain.then(|| {
        Finding::warned(
            "keys_in_the_clear",
            "clients send their keys and files to this node without encryption".into(),
            "put a proxy with TLS in front, and set 'public_url' to its https:// address",
        )
    })
}

fn backends_in_the_clear(settings: &Settings) -> Option<Finding> {
    let found = addresses(settings)
        .into_iter()
        .find_map(|(key, address)| Some((key, address, in_the_clear(address)?)))?;
    let (key, address, what) = found;
    Some(Finding::warned(
        "backends_in_the_clear",
        format!(
            "'{key}' = {} is reached without encryption: who is on the way can read {what}",
            without_password(address)
        ),
        "use the scheme or option for TLS that docs/backends names",
    ))
}

/// Roles in several processes need backends that several processes can use.
fn one_process_only(setup: &Setup<'_>) -> Option<Finding> {
    let Setup { settings, database, queue, .. } = setup;
    if settings.roles.are_all() {
        return None;
    }
    let shared = [
        ("database", settings.database(), database.map(|caps| caps.shared)),
        ("queue", settings.queue(), queue.map(|caps| caps.shared)),
    ];
    let (key, address, _) = shared.into_iter().find(|(_, _, shared)| *shared == Some(false))?;
    Some(Finding::refused(
        "one_process_only",
        format!(
            "'{key}' = {} serves one process only, but 'roles' = {} leaves work to others",
            without_password(address),
            settings.roles
        ),
        "give the processes an address that they can share, or run all roles in one",
    ))
}

/// A lease must reach from one heartbeat to well beyond the next.
fn leases_too_short(setup: &Setup<'_>) -> Option<Finding> {
    let caps = setup.queue.filter(|caps| caps.lease_max < LEASE)?;
    // A lease is at most half of what the server allows in all, of which a sixth is left unused.
    let needed = (LEASE * 2 * 6).as_secs().div_ceil(5);
    let advice = match caps.name {
        "rabbitmq" => format!(
            "raise the server's consumer_timeout, and consumer_timeout in the address, to at \
             least {needed} s; its own default is half an hour"
        ),
        _ => "use a queue that lets a message be held for longer".into(),
    };
    Some(Finding::refused(
        "leases_too_short",
        format!(
            "'queue' = {} lets a message be held for {:?} at most, and workers need {LEASE:?}",
            without_password(setup.settings.queue()),
            caps.lease_max
        ),
        advice,
    ))
}

fn payload_too_small(setup: &Setup<'_>) -> Option<Finding> {
    let caps = setup.queue.filter(|caps| caps.payload_max < PAYLOAD_MIN)?;
    Some(Finding::refused(
        "payload_too_small",
        format!(
            "'queue' = {} takes messages of {} bytes at most, and tickets need {PAYLOAD_MIN}",
            without_password(setup.settings.queue()),
            caps.payload_max
        ),
        "raise the server's limit on messages (NATS: max_payload, and max_msg_size of the stream)",
    ))
}

fn commits_may_be_lost(setup: &Setup<'_>) -> Option<Finding> {
    let caps = setup.database.filter(|caps| !caps.durable && caps.name != "memory")?;
    let advice = match caps.name {
        "postgres" => "set fsync = on at the server",
        "mysql" => "set innodb_flush_log_at_trx_commit = 1 at the server",
        _ => "have the server flush each commit",
    };
    Some(Finding::warned(
        "commits_may_be_lost",
        format!(
            "'database' = {} does not flush commits: when its machine crashes, answered orders \
             are lost",
            without_password(setup.settings.database())
        ),
        advice,
    ))
}

#[cfg(test)]
mod tests;
