//! What people and scripts see.

use super::*;
use printmill_adapter_memory::MemoryQueue;
use printmill_backend::Queue;
use printmill_domain::problem::Code;

fn case(name: &'static str, ending: Ending) -> CaseReport {
    CaseReport { name, ending }
}

/// A check in which everything that can happen happens.
fn report() -> Report {
    console::set_colors_enabled(false);
    let backend = |backend, address: &str| BackendReport {
        backend,
        address: address.into(),
        passed: true,
        seconds: 1.234,
        caps: None,
        cases: vec![],
        left: vec![],
        error: None,
    };
    let caps = QueueCaps { fenced_settle: false, name: "sqs", ..MemoryQueue::new().caps().clone() };
    let checked = vec![
        BackendReport {
            passed: false,
            error: Some(Failure {
                causes: vec!["connection refused".into()],
                ..Failure::new(Code::ConfigurationInvalid, "it cannot be used", "check 'database'")
            }),
            ..backend(Kind::Database, "postgres://me:hidden@db.example/shop")
        },
        BackendReport {
            passed: false,
            caps: Some(Caps::Queue(caps)),
            cases: vec![
                case("leases::one", Ending::Passed),
                case("leases::two", Ending::PassedAgain("it came late".into())),
                case("leases::three", Ending::Failed("it came twice".into())),
                case("leases::four", Ending::NotRun("it was stopped".into())),
            ],
            left: vec!["1 message in lanes that begin with check-1".into()],
            ..backend(Kind::Queue, "sqs://shop")
        },
        BackendReport {
            cases: vec![case("names::one", Ending::Passed)],
            caps: Some(Caps::Blobs {
                caps: BlobsCaps { name: "s3", local: false, part_bytes: 1, atomic_put: true },
                signs: true,
            }),
            ..backend(Kind::Blobs, "s3://files")
        },
        BackendReport {
            caps: Some(Caps::Payments("sandbox")),
            ..backend(Kind::Payments, "sandbox://")
        },
    ];
    let findings = vec![Finding {
        rule: "keys_in_the_clear",
        refused: false,
        message: "clients send their keys in the clear".into(),
        advice: "put a proxy in front".into(),
    }];
    Report::new("check-1".into(), checked, &Settings::default(), findings)
}

#[test]
fn people_see_each_backend_with_what_passed_and_what_to_change() {
    insta::assert_snapshot!(report().text());
}

#[test]
fn scripts_see_the_same() {
    insta::assert_json_snapshot!(report());
}

#[test]
fn what_failed_is_named_by_its_setting() {
    assert_eq!(report().failed(), ["database", "queue"]);
    assert!(!report().passed);
}

#[test]
fn long_lines_are_wrapped_between_words() {
    let words = ["word"; 40].join(" ");
    let lines = wrapped(&words);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
    assert_eq!(lines.join(" "), words);
    assert_eq!(wrapped(&"x".repeat(200)).len(), 1);
}
