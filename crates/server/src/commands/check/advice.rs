//! What Printmill does itself since a backend cannot, and what to change: from what the backend says
//! of itself.

use super::report::Caps;
use printmill_backend::blobs::BlobsCaps;
use printmill_backend::database::DatabaseCaps;
use printmill_backend::queue::{Counted, Dedup, Durability, QueueCaps, SettledBy};
use std::time::Duration;

/// What is to be said of a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// What Printmill does above it.
    pub(super) emulated: Vec<String>,
    /// What to change.
    pub(super) advice: Vec<String>,
}

impl Notes {
    fn emulate(&mut self, when: bool, text: impl Into<String>) {
        if when {
            self.emulated.push(text.into());
        }
    }

    fn advise(&mut self, when: bool, text: impl Into<String>) {
        if when {
            self.advice.push(text.into());
        }
    }
}

/// What is to be said of a backend at an address.
pub(super) fn notes(caps: &Caps, address: &str) -> Notes {
    match caps {
        Caps::Database(caps) => of_database(caps),
        Caps::Queue(caps) => of_queue(caps, address),
        Caps::Blobs { caps, signs } => of_blobs(caps, *signs),
        Caps::Payments(name) => of_payments(name),
    }
}

/// Delays and leases that are longer are not worth a word.
const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn of_database(caps: &DatabaseCaps) -> Notes {
    let mut notes = Notes::default();
    notes.emulate(
        !caps.numbers_in_commit,
        "events get their place in the log right after the commit, from a dispatcher",
    );
    notes.advise(
        caps.name == "memory",
        "nothing is kept when the process ends: use sqlite:///PATH, postgres:// or mysql://",
    );
    notes
}

fn of_queue(caps: &QueueCaps, address: &str) -> Notes {
    let mut notes = Notes::default();
    notes.emulate(
        caps.delay_max < LONG,
        format!(
            "work for later than {} waits in the database until its time, as retries do",
            words(caps.delay_max)
        ),
    );
    notes.emulate(
        caps.lease_max < DAY,
        format!(
            "a message is held for {} at most: work that takes longer keeps its ticket in the \
             database, and who gets the message again finds it held",
            words(caps.lease_max)
        ),
    );
    notes.emulate(
        caps.settled_by == SettledBy::Holder,
        "only the connection that took a message settles it: where another process ends the work, \
         the message comes again and finds its ticket done",
    );
    notes.emulate(
        !caps.fenced_settle,
        "a late holder may still acknowledge: what it did is refused in the database",
    );
    notes.emulate(!caps.exact_attempts, "attempts are counted in the database");
    notes.emulate(
        caps.dedup != Dedup::WhilePresent,
        "a ticket may be queued twice: the second message finds it held or done",
    );
    notes.emulate(
        !caps.exact_stats || caps.counted == Counted::ReadyAndOwn,
        "its counts are approximate: lanes are counted in the database",
    );
    notes.emulate(
        caps.durability == Durability::Periodic,
        "a crash of its machine may lose the last messages: they are sent again from the database",
    );
    notes.emulate(
        caps.durability == Durability::Memory,
        "a restart loses its messages: they are sent again from the database",
    );
    let several = ["replicas=3", "replicas=5"].iter().any(|option| address.contains(option));
    notes.advise(
        caps.name == "nats" && caps.durability == Durability::Periodic && !several,
        "NATS flushes every two minutes: keep the stream on three servers (replicas=3), or set \
         sync_interval: always",
    );
    notes.advise(
        caps.name == "nats" && caps.durability == Durability::Memory,
        "the stream is kept in memory: delete it, and let nodes make it again in files",
    );
    notes.advise(
        caps.name == "memory",
        "nothing is kept when the process ends: use sqlite:///PATH or a broker",
    );
    notes.advise(
        caps.name == "mysql" && caps.durability == Durability::Periodic,
        "set innodb_flush_log_at_trx_commit = 1 at the server",
    );
    notes
}

fn of_blobs(caps: &BlobsCaps, signs: bool) -> Notes {
    let mut notes = Notes::default();
    notes.emulate(!signs, "links to files are signed by the api role, which serves the files");
    notes.emulate(
        !caps.atomic_put,
        "a file is written aside and moved into its place when it is whole",
    );
    notes.advise(
        caps.name == "s3" && !signs,
        "with links=store in the address, clients download straight from the store",
    );
    notes.advise(
        caps.name == "memory",
        "nothing is kept when the process ends: use file:///PATH or a bucket",
    );
    notes
}

fn of_payments(name: &str) -> Notes {
    let mut notes = Notes::default();
    notes.advise(name == "sandbox", "it takes no money: good for trying out only");
    notes
}

/// A length of time, as people say it.
pub(crate) fn words(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{length:?}"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_adapter_memory::{MemoryDatabase, MemoryQueue};
    use printmill_backend::{Database, Queue};

    fn said(notes: &Notes, words: &[&str]) {
        let all = notes.emulated.iter().chain(&notes.advice);
        let all: Vec<&String> = all.collect();
        assert_eq!(all.len(), words.len(), "{all:#?}");
        for (text, word) in all.iter().zip(words) {
            assert!(text.contains(word), "no '{word}' in: {text}");
        }
    }

    #[test]
    fn what_a_queue_cannot_is_emulated_and_said() {
        let able = QueueCaps {
            name: "sqlite",
            delay_max: LONG,
            durability: Durability::Synced,
            ..MemoryQueue::new().caps().clone()
        };
        said(&of_queue(&able, "sqlite:///q.db"), &[]);
        let unable = QueueCaps {
            name: "rabbitmq",
            delay_max: DAY,
            lease_max: Duration::from_secs(750),
            settled_by: SettledBy::Holder,
            fenced_settle: false,
            exact_attempts: false,
            dedup: Dedup::None,
            exact_stats: false,
            durability: Durability::Periodic,
            ..able
        };
        let all = [
            "24 hours",
            "12 minutes",
            "only the connection",
            "late holder",
            "attempts",
            "twice",
            "approximate",
            "last messages",
        ];
        said(&of_queue(&unable, "amqp://h"), &all);
        let nats = QueueCaps { name: "nats", durability: Durability::Periodic, ..able };
        said(&of_queue(&nats, "nats://h"), &["last messages", "sync_interval: always"]);
        said(&of_queue(&nats, "nats://h?replicas=3"), &["last messages"]);
    }

    #[test]
    fn what_keeps_nothing_is_advised_against() {
        said(&of_database(MemoryDatabase::new().caps()), &["right after", "nothing is kept"]);
        said(&of_queue(MemoryQueue::new().caps(), "memory://"), &["a restart", "nothing is kept"]);
        said(&of_payments("sandbox"), &["no money"]);
    }

    #[test]
    fn a_store_that_does_not_sign_is_told_how() {
        let disk = BlobsCaps { name: "disk", local: true, part_bytes: 1, atomic_put: false };
        said(&of_blobs(&disk, false), &["api role", "written aside"]);
        let s3 = BlobsCaps { name: "s3", local: false, part_bytes: 1, atomic_put: true };
        said(&of_blobs(&s3, false), &["api role", "links=store"]);
        said(&of_blobs(&s3, true), &[]);
    }
}
