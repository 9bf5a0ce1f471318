//! The command line from outside: what it explains, what it refuses, what it prints.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Every command, by its words.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["demo"],
    &["up"],
    &["serve"],
    &["upload"],
    &["quote"],
    &["order"],
    &["orders"],
    &["orders", "list"],
    &["orders", "show"],
    &["orders", "watch"],
    &["orders", "download"],
    &["events"],
    &["events", "watch"],
    &["events", "list"],
    &["events", "counts"],
    &["facility"],
    &["facility", "run"],
    &["facility", "list"],
    &["products"],
    &["queues"],
    &["tickets"],
    &["tickets", "show"],
    &["tickets", "dead"],
    &["tickets", "replay"],
    &["tickets", "cancel"],
    &["schedules"],
    &["schedules", "create"],
    &["schedules", "update"],
    &["schedules", "delete"],
    &["schedules", "list"],
    &["schedules", "run"],
    &["schedules", "pause"],
    &["schedules", "resume"],
    &["workers"],
    &["workers", "list"],
    &["workers", "drain"],
    &["workers", "resume"],
    &["workers", "set"],
    &["keys"],
    &["keys", "create"],
    &["keys", "list"],
    &["keys", "revoke"],
    &["consumers"],
    &["consumers", "list"],
    &["consumers", "replay"],
    &["consumers", "resume"],
    &["health"],
    &["check"],
    &["config"],
    &["completions"],
];

fn printmill(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_printmill"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env_clear();
    command.env("NO_COLOR", "1").env("COLUMNS", "100");
    command
}

fn run(arguments: &[&str]) -> (Output, String, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    run_in(folder.path(), arguments)
}

fn run_in(folder: &Path, arguments: &[&str]) -> (Output, String, String) {
    let output = printmill(folder, arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn every_commands_help_is_as_reviewed() {
    for words in COMMANDS {
        let arguments: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let (output, out, err) = run(&arguments);
        assert!(output.status.success(), "{words:?}: {err}");
        let name = if words.is_empty() { "printmill".into() } else { words.join("-") };
        insta::assert_snapshot!(name, out);
    }
}

#[test]
fn every_command_that_does_something_shows_examples() {
    let groups = [
        &["orders"][..],
        &["events"],
        &["consumers"],
        &["facility"],
        &["keys"],
        &["schedules"],
        &["tickets"],
        &["workers"],
    ];
    for words in COMMANDS.iter().filter(|words| !groups.contains(words)) {
        let arguments: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let (_, out, _) = run(&arguments);
        assert!(out.contains("Examples:"), "{words:?}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_a_failure_with_1() {
    assert_eq!(run(&["frobnicate"]).0.status.code(), Some(2));
    assert_eq!(run(&["upload"]).0.status.code(), Some(2));
    let (output, out, err) = run(&["products", "--server", "ftp://x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out.is_empty());
    assert!(err.starts_with("error[INVALID_ARGUMENT]: "), "{err}");
    assert!(err.contains("\n  help: ") && err.contains("docs/errors/INVALID_ARGUMENT.md"), "{err}");
}

#[test]
fn errors_for_scripts_are_json() {
    let (output, out, err) = run(&["--json", "config", "--listen", "nowhere"]);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(error["error"]["code"], "CONFIGURATION_INVALID");
    assert!(error["error"]["message"].as_str().unwrap().contains("--listen"), "{error}");
    assert_eq!(error["error"]["page"], "docs/errors/CONFIGURATION_INVALID.md");
}

#[test]
fn the_effective_configuration_says_where_it_comes_from_and_hides_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "5e".repeat(32);
    let file = format!("drain_seconds = 7\nsigning_key = \"{secret}\"\n");
    std::fs::write(folder.path().join("printmill.toml"), file).unwrap();
    let output = printmill(folder.path(), &["config", "--log", "debug"])
        .env("PRINTMILL_LISTEN", "127.0.0.1:8080")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let origin = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.rsplit_once("# ").map(|(_, origin)| origin.to_owned()).unwrap_or_default()
    };
    assert!(origin("drain_seconds").ends_with("printmill.toml"), "{out}");
    assert_eq!(origin("listen"), "PRINTMILL_LISTEN", "{out}");
    assert_eq!(origin("log "), "--log", "{out}");
    assert_eq!(origin("roles"), "default", "{out}");
    assert!(!out.contains(&secret), "{out}");
}

#[test]
fn the_reference_is_a_file_that_can_be_used() {
    let (_, out, _) = run(&["config", "--reference"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("printmill.toml"), &out).unwrap();
    let (output, _, err) = run_in(folder.path(), &["config"]);
    assert!(output.status.success(), "{err}");
    let used: String = out
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
        .filter(|line| !line.starts_with("signing_key"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder.path().join("printmill.toml"), &used).unwrap();
    let (output, _, err) = run_in(folder.path(), &["config"]);
    assert!(output.status.success(), "{err}\n{used}");
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (output, out, err) = run(&["completions", shell]);
        assert!(output.status.success(), "{err}");
        for words in COMMANDS.iter().filter(|words| words.len() == 1) {
            assert!(out.contains(words[0]), "{shell} lacks {words:?}");
        }
    }
}

#[test]
fn keys_are_made_listed_and_revoked_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let (output, out, err) = run_in(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap()
    };
    let made = json(&["keys", "create", "--new-merchant", "Shop", "--json"]);
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with("pmk_"));
    let facilities = json(&["facility", "list", "--json"]);
    assert!(facilities.as_array().unwrap().len() >= 3);
    let facility = facilities[0]["id"].as_str().unwrap();
    json(&["keys", "create", "--facility", facility, "--json"]);
    json(&["keys", "create", "--json"]);

    let listed = json(&["keys", "list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(secret));
    let id = made["id"].as_str().unwrap();
    assert!(json(&["keys", "revoke", id, "--json"])["revoked_at"].is_string());

    let (output, _, err) = run_in(folder.path(), &["keys", "create", "--merchant", "mer_x"]);
    assert_eq!(output.status.code(), Some(2), "{err}");
    let (output, _, err) = run_in(folder.path(), &["keys", "revoke", "key_x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.starts_with("error[NOT_FOUND]"), "{err}");
}

#[test]
fn tracing_without_its_feature_says_how_to_get_it() {
    let (output, _, err) = run(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        "http://127.0.0.1:1",
        "--queue",
        "s3://x",
    ]);
    // With the feature the next wrong setting is found.
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("error[ADAPTER_NOT_COMPILED]"), "{err}");
}

#[test]
fn the_command_line_refuses_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, out, err) = run(&["up", "--listen", &address]);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains("error[ADDRESS_IN_USE]") && err.contains("--listen"), "{err}");
}
