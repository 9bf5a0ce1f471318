//! docs/backends/README.md, made from what the adapters declare; a test fails when it is stale.

use crate::commands::words;
use printmill_adapter_memory as memory;
use printmill_adapter_objects as objects;
use printmill_adapter_sql as sql;
use printmill_backend::blobs::BlobsCaps;
use printmill_backend::database::DatabaseCaps;
use printmill_backend::queue::{Counted, Dedup, Durability, QueueCaps, SettledBy};
use printmill_backend::{Database, Queue};
use std::path::Path;
use std::time::Duration;

/// Where it is, from this crate.
const FILE: &str = "../../docs/backends/README.md";
/// The variable that has it written anew.
const BLESS: &str = "PRINTMILL_BLESS";

const INTRODUCTION: &str = "\
# Backends

Printmill needs a database, a queue and a store of files, and works with any of these in any
combination. The tables are made from what the adapters declare of each, so they are what the code goes
by; what a server can be set to is a row of its own. [Choosing and checking
backends](../guides/backends.md) says which to take; `printmill check` says how yours does.

None of what a queue cannot do is lost: Printmill does it above, in the database.

<!-- Made by `cargo xtask backends --bless`; edit crates/server/src/backends_table.rs. -->
";

/// A queue with its default.
const NATS_PAYLOAD: usize = 1024 * 1024;
/// RabbitMQ's default.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

fn databases() -> Vec<(&'static str, DatabaseCaps)> {
    let capabilities = sql::database::capabilities;
    vec![
        ("SQLite", capabilities("sqlite", true)),
        ("[PostgreSQL](postgres.md) 13 or later", capabilities("postgres", true)),
        ("[PostgreSQL](postgres.md), `fsync = off`", capabilities("postgres", false)),
        ("[MySQL](mysql.md) 8.0.17, MariaDB 10.6 or later", capabilities("mysql", true)),
        ("[MySQL](mysql.md), `innodb_flush_log_at_trx_commit` not 1", capabilities("mysql", false)),
        ("memory, for trying out", memory::MemoryDatabase::new().caps().clone()),
    ]
}

fn queues() -> Vec<(&'static str, QueueCaps)> {
    use printmill_adapter_nats::capabilities as nats;
    use printmill_adapter_rabbitmq::capabilities as rabbitmq;
    let table = sql::queue::capabilities;
    vec![
        ("SQLite", table("sqlite", Durability::Periodic)),
        ("[PostgreSQL](postgres.md) 13 or later", table("postgres", Durability::Periodic)),
        ("[MySQL](mysql.md) 8.0.17, MariaDB 10.6 or later", table("mysql", Durability::Synced)),
        (
            "[MySQL](mysql.md), `innodb_flush_log_at_trx_commit` not 1",
            table("mysql", Durability::Periodic),
        ),
        ("[NATS](nats.md) 2.9 or later", nats(NATS_PAYLOAD, true)),
        ("[NATS](nats.md), stream in memory", nats(NATS_PAYLOAD, false)),
        ("[RabbitMQ](rabbitmq.md) 3.10 or later", rabbitmq(CONSUMER_TIMEOUT)),
        (
            "[RabbitMQ](rabbitmq.md), `consumer_timeout` of 12 hours",
            rabbitmq(CONSUMER_TIMEOUT * 24),
        ),
        ("[SQS](sqs.md), standard or FIFO", printmill_adapter_sqs::queue::CAPABILITIES),
        ("memory, for trying out", memory::MemoryQueue::new().caps().clone()),
    ]
}

fn stores() -> Vec<(&'static str, &'static str, BlobsCaps)> {
    use objects::remote::capabilities;
    vec![
        ("a folder", "api", objects::blobs::DISK),
        (
            "[S3](s3.md) and what speaks it",
            "api, or the store with `links=store`",
            capabilities("s3"),
        ),
        ("[Azure Blob Storage](azure.md)", "api", capabilities("azure")),
        ("[Google Cloud Storage](gcs.md)", "api", capabilities("gcs")),
        ("memory, for trying out", "api", memory::memory_blobs().caps().clone()),
    ]
}

fn page() -> String {
    let databases: Vec<Vec<String>> = databases()
        .into_iter()
        .map(|(name, caps)| {
            let survives = match (caps.durable, caps.name) {
                (true, _) => "a crash of the machine",
                (false, "memory") => "nothing",
                (false, _) => "a crash of the process",
            };
            let numbered = if caps.numbers_in_commit { "the commit" } else { "a dispatcher" };
            row([name, survives, processes(caps.name, caps.shared), numbered])
        })
        .collect();
    let stores: Vec<Vec<String>> = stores()
        .into_iter()
        .map(|(name, signs, caps)| {
            let placed = if caps.atomic_put { "at once" } else { "by a move when it is whole" };
            let by = processes(caps.name, caps.name != "memory");
            row([
                name,
                by,
                signs,
                placed,
                &indicatif::HumanBytes(caps.part_bytes as u64).to_string(),
            ])
        })
        .collect();
    let database = ["Database", "Commits survive", "Used by", "Events are numbered by"];
    let queue = [
        "Queue",
        "Messages survive",
        "Used by",
        "Held up to",
        "Delays up to",
        "Settled by",
        "A late holder is",
        "Attempts are",
        "Same ticket twice",
        "Counts",
    ];
    let store = ["Files in", "Used by", "Links are signed by", "Put in place", "Parts of"];
    let queues: Vec<Vec<String>> =
        queues().into_iter().map(|(name, caps)| queue_row(name, &caps)).collect();
    [
        INTRODUCTION.to_owned(),
        section("Databases", &database, &databases),
        section("Queues", &queue, &queues),
        section("Files", &store, &stores),
    ]
    .join("\n")
}

fn queue_row(name: &str, caps: &QueueCaps) -> Vec<String> {
    let survives = match caps.durability {
        Durability::Synced => "a crash of the machine",
        Durability::Periodic => "a crash of the process",
        Durability::Memory => "nothing",
    };
    let settled = match caps.settled_by {
        SettledBy::Anyone => "anyone",
        SettledBy::Holder => "its holder's connection",
    };
    let twice = match caps.dedup {
        Dedup::WhilePresent => "is left out".to_owned(),
        Dedup::Window(window) => format!("is left out for {}", words(window)),
        Dedup::None => "is possible".to_owned(),
    };
    let counts = match (caps.exact_stats, caps.counted) {
        (true, _) => "exact",
        (false, Counted::Everything) => "approximate",
        (false, Counted::ReadyAndOwn) => "of what is ready",
    };
    row([
        name,
        survives,
        processes(caps.name, caps.shared),
        &words(caps.lease_max),
        &words(caps.delay_max),
        settled,
        if caps.fenced_settle { "refused" } else { "let through" },
        if caps.exact_attempts { "exact" } else { "approximate" },
        &twice,
        counts,
    ])
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn processes(name: &str, shared: bool) -> &'static str {
    match (name, shared) {
        (_, false) => "one process",
        ("sqlite" | "disk", true) => "one machine",
        (_, true) => "many machines",
    }
}

fn section(title: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("## {title}\n\n{}", line(heads.to_vec()));
    text.push_str(&line(vec!["---"; heads.len()]));
    for row in rows {
        assert_eq!(row.len(), heads.len(), "{row:?}");
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[test]
fn the_table_of_backends_is_what_the_adapters_declare() {
    let (path, page) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), page());
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/backends/README.md is stale: `cargo xtask backends --bless`");
}

#[test]
fn every_page_that_the_table_names_is_there_and_every_page_is_named() {
    let (folder, page) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/backends"), page());
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || page.contains(&format!("({name})")), "{name}");
    }
}
