//! Each rule with a set-up that it is about, and one that it leaves alone.

use super::*;
use crate::config::Roles;
use printmill_adapter_memory as memory;
use printmill_backend::{Database, Queue};
use std::time::Duration;

const POSTGRES: &str = "postgres://me:s3cret@db.example/shop";
const NATS: &str = "tls://me:s3cret@queue.example";
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn roles(names: &str) -> Roles {
    serde_json::from_value(names.into()).unwrap()
}

fn settings(names: &str, database: &str, queue: &str, blobs: &str) -> Settings {
    Settings {
        roles: roles(names),
        database: Some(database.into()),
        queue: Some(queue.into()),
        blobs: Some(blobs.into()),
        ..Settings::default()
    }
}

/// A whole node on local disk.
fn local() -> Settings {
    settings("api,worker,dispatcher", "sqlite:///d/a.db", "sqlite:///d/q.db", "file:///d/blobs")
}

/// Some roles of a deployment on several machines.
fn spread(names: &str) -> Settings {
    let signing_key = Some(KEY.to_owned());
    Settings { signing_key, ..settings(names, POSTGRES, NATS, "s3://files") }
}

fn found(findings: &[Finding]) -> Vec<(&'static str, bool)> {
    for finding in findings {
        assert!(!format!("{finding:?}").contains("s3cret"), "{finding:?}");
        assert!(!finding.advice.is_empty() && !finding.message.ends_with('.'), "{finding:?}");
    }
    findings.iter().map(|finding| (finding.rule, finding.refused)).collect()
}

#[test]
fn set_ups_without_contradictions_are_left_alone() {
    let machine =
        settings("worker", "postgres://me:p@127.0.0.1/shop", "nats://127.0.0.1", "file:///d/blobs");
    let proxied = Settings {
        listen: "0.0.0.0:7070".parse().unwrap(),
        public_url: Some("https://print.example".into()),
        ..spread("api")
    };
    let one_node = Settings {
        signing_key: Some(KEY.into()),
        ..settings("api,worker,dispatcher", POSTGRES, "sqlite:///d/q.db", "file:///d/blobs")
    };
    let on_disk = Settings { roles: roles("worker"), ..local() };
    for settings in [local(), spread("api"), spread("worker"), machine, proxied, one_node, on_disk]
    {
        assert_eq!(found(&of_settings(&settings)), [], "{}", settings.database());
    }
}

#[test]
fn each_rule_of_settings_finds_what_it_is_about() {
    let listening = |listen: &str, url: &str| Settings {
        listen: listen.parse().unwrap(),
        public_url: Some(url.into()),
        ..local()
    };
    let cases: Vec<(Settings, &str, bool)> = vec![
        (
            Settings { queue: Some("sqlite:///d/./a.db".into()), ..local() },
            "one_file_for_two",
            true,
        ),
        (
            Settings { blobs: Some("file:///d/blobs".into()), ..spread("worker") },
            "files_of_one_machine",
            true,
        ),
        (
            Settings { queue: Some("sqlite:///d/q.db".into()), ..spread("dispatcher") },
            "files_of_one_machine",
            true,
        ),
        (
            Settings { database: Some("sqlite:///d/a.db".into()), ..spread("worker") },
            "files_of_one_machine",
            true,
        ),
        (
            Settings { blobs: Some("file:///d".into()), ..spread("api,dispatcher,supervisor") },
            "files_of_one_machine",
            true,
        ),
        (Settings { signing_key: None, ..spread("api") }, "a_signing_key_for_each", true),
        (
            Settings { signing_key: None, ..spread("api,worker,dispatcher") },
            "a_second_node_needs_the_key",
            false,
        ),
        (listening("127.0.0.1:7070", "https://127.0.0.1:7070"), "https_without_tls", true),
        (listening("0.0.0.0:7070", "http://localhost:7070"), "links_to_this_machine_only", false),
        (listening("0.0.0.0:7070", "http://print.example"), "keys_in_the_clear", false),
        (
            Settings { queue: Some("amqp://me:s3cret@queue.example".into()), ..spread("worker") },
            "backends_in_the_clear",
            false,
        ),
    ];
    for (settings, rule, refused) in cases {
        let findings = of_settings(&settings);
        assert_eq!(found(&findings), [(rule, refused)], "{findings:?}");
        assert_eq!(accept(findings).is_err(), refused, "{rule}");
    }
}

#[test]
fn files_may_be_declared_shared() {
    let mixed = Settings {
        blobs: Some("file:///mnt/shared/blobs".into()),
        shared_files: Switch::On,
        signing_key: None,
        ..spread("api")
    };
    assert_eq!(found(&of_settings(&mixed)), []);
}

#[test]
fn each_rule_of_backends_finds_what_it_is_about() {
    let (database, queue) = (memory::MemoryDatabase::new(), memory::MemoryQueue::new());
    let (one, other) = (local(), Settings { roles: roles("worker"), ..local() });
    let durable = DatabaseCaps { name: "sqlite", durable: true, shared: true, ..*database.caps() };
    let shared = QueueCaps { shared: true, ..queue.caps().clone() };
    let cases = [
        (&one, database.caps().clone(), queue.caps().clone(), None),
        (&other, durable.clone(), shared.clone(), None),
        (&other, durable.clone(), queue.caps().clone(), Some(("one_process_only", true))),
        (&other, database.caps().clone(), shared.clone(), Some(("one_process_only", true))),
        (
            &one,
            durable.clone(),
            QueueCaps { lease_max: Duration::from_secs(5), name: "rabbitmq", ..shared.clone() },
            Some(("leases_too_short", true)),
        ),
        (
            &one,
            durable.clone(),
            QueueCaps { payload_max: 100, ..shared.clone() },
            Some(("payload_too_small", true)),
        ),
        (
            &one,
            DatabaseCaps { durable: false, name: "postgres", ..durable },
            shared,
            Some(("commits_may_be_lost", false)),
        ),
    ];
    for (settings, database, queue, expected) in cases {
        let (database, queue) = (Some(&database), Some(&queue));
        let findings = of_backends(&Setup { settings, database, queue });
        assert_eq!(found(&findings), expected.into_iter().collect::<Vec<_>>());
    }
    let none = Setup { settings: &other, database: None, queue: None };
    assert_eq!(found(&of_backends(&none)), [], "what cannot be opened is said elsewhere");
}

#[test]
fn what_rabbitmq_is_told_to_allow_is_enough() {
    let caps = QueueCaps {
        lease_max: Duration::from_secs(5),
        name: "rabbitmq",
        ..memory::MemoryQueue::new().caps().clone()
    };
    let settings = local();
    let setup = Setup { settings: &settings, database: None, queue: Some(&caps) };
    let advice = leases_too_short(&setup).unwrap().advice;
    let needed = advice.split_whitespace().find_map(|word| word.parse::<u32>().ok()).unwrap();
    // As the adapter reckons.
    assert!(Duration::from_secs(needed.into()) / 6 * 5 / 2 >= LEASE, "{advice}");
    assert!(Duration::from_secs((needed - 1).into()) / 6 * 5 / 2 < LEASE, "{advice}");
}
