//! The checks on one Rust file.

use crate::report::Findings;
use crate::tidy::tokens::{self, Fact};

/// Longest file, in lines.
const FILE_LINES_MAX: usize = 500;
/// Longest function body, in lines that hold code (blank lines and comments do not count).
const FUNCTION_LINES_MAX: usize = 70;
/// What the simulation runs.
const SIMULATED: [&str; 5] = [
    "crates/engine/src/",
    "crates/fulfilment/src/",
    "crates/orders/src/",
    "crates/prints/src/",
    "crates/simulation/src/",
];
/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] =
    ["common", "util", "utils", "helper", "helpers", "manager", "managers"];

/// All that is wrong with the file at `path` (from the root, with forward slashes).
pub(crate) fn check(path: &str, text: &str) -> Findings {
    let mut findings = Findings::default();
    if let Some(name) = empty_name_in_path(path) {
        findings.add(format!("{path}: `{name}` says nothing: name it after what it holds"));
    }
    if is_generated(path, text) {
        return findings;
    }
    if !text.starts_with("//! ") {
        findings.add(format!("{path}:1: open with a `//!` line saying what lives here"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.add(format!("{path}: {lines} lines: split it, {FILE_LINES_MAX} are the most"));
    }
    // Where time is paused, a sleep waits for nothing real.
    let paused_time = text.lines().take_while(|line| line.starts_with("//!")).any(says_paused_time);
    match tokens::facts(text, is_test_file(path) && !paused_time) {
        Ok(facts) => {
            let minded = |fact: &Fact| !matches!(fact, Fact::RandomSelect { .. }) || repeats(path);
            for fault in facts.into_iter().filter(minded).filter_map(fault) {
                findings.add(format!("{path}:{fault}"));
            }
        }
        Err(error) => findings.add(format!("{path}: not Rust: {error}")),
    }
    findings
}

fn empty_name_in_path(path: &str) -> Option<&str> {
    path.split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find(|name| is_empty_name(name))
}

fn is_empty_name(name: &str) -> bool {
    name.split(['_', '-']).any(|word| EMPTY_NAMES.contains(&word))
}

fn is_generated(path: &str, text: &str) -> bool {
    let first_line = text.lines().next().unwrap_or_default();
    path.split('/').any(|part| part == "generated") || first_line.contains("@generated")
}

fn says_paused_time(line: &str) -> bool {
    line.to_lowercase().contains("paused time")
}

fn is_test_file(path: &str) -> bool {
    let in_test_folder = path.split('/').rev().skip(1).any(|part| part == "tests" || part == "e2e");
    in_test_folder || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// Whether the simulation runs it, and must be able to repeat exactly what it did.
fn repeats(path: &str) -> bool {
    SIMULATED.iter().any(|folder| path.starts_with(folder))
}

/// The fault that a fact amounts to, after its line number, or `None` if it is in order.
fn fault(fact: Fact) -> Option<String> {
    match fact {
        Fact::Function { name, line, code_lines } if code_lines > FUNCTION_LINES_MAX => {
            Some(format!(
                "{line}: `{name}` has {code_lines} lines: split it, {FUNCTION_LINES_MAX} are the most"
            ))
        }
        Fact::Module { name, line } if is_empty_name(&name) => {
            Some(format!("{line}: module `{name}` says nothing: name it after what it holds"))
        }
        Fact::Log { message, line } => {
            log_fault(&message).map(|fault| format!("{line}: log message {message:?} {fault}"))
        }
        Fact::Unfinished { name, line } => Some(format!("{line}: `{name}!` is left over")),
        Fact::Sleep { line } => Some(format!(
            "{line}: a sleep hides a race: wait for a signal, or bound the wait with a timeout"
        )),
        Fact::RandomSelect { line } => Some(format!(
            "{line}: `select!` begins with a random branch: say `biased;`, so that the simulation \
             can repeat what it did"
        )),
        Fact::Function { .. } | Fact::Module { .. } => None,
    }
}

fn log_fault(message: &str) -> Option<&'static str> {
    let first_word = message.split(|it: char| !it.is_alphanumeric()).next().unwrap_or_default();
    let capitals = first_word.chars().filter(|it| it.is_uppercase() || it.is_numeric()).count();
    // Two capitals make it a proper name, such as PDF, SQLite or S3.
    if capitals == 1 && first_word.starts_with(char::is_uppercase) {
        return Some("should begin in lower case");
    }
    message.ends_with('.').then_some("should not end with a period")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(path, text).faults().to_vec()
    }

    fn assert_one_fault(path: &str, text: &str, expected: &str) {
        let faults = faults(path, text);
        assert_eq!(faults.len(), 1, "{path}: {text}: {faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
    }

    #[test]
    fn a_tidy_file_has_no_fault() {
        let text = "//! Orders.\n\nfn place() { tracing::info!(id = %id, \"placed {id}\"); }\n";
        assert_eq!(faults("crates/orders/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn a_file_opens_by_saying_what_it_holds() {
        assert_one_fault("crates/x/src/lib.rs", "fn f() {}\n", "open with");
        assert_one_fault("crates/x/src/lib.rs", "", "open with");
    }

    #[test]
    fn files_and_functions_have_a_limit() {
        let long_file = format!("//! X.\n{}", "// x\n".repeat(500));
        assert_one_fault("a.rs", &long_file, "501 lines");
        let body = |lines| format!("//! X.\nfn f() {{\n{}}}\n", "g();\n".repeat(lines));
        assert_eq!(faults("a.rs", &body(70)), [""; 0]);
        assert_one_fault("a.rs", &body(71), "`f` has 71 lines");
    }

    #[test]
    fn comments_and_blank_lines_do_not_lengthen_a_function() {
        let text = format!("//! X.\nfn f() {{\n{}}}\n", "// why\n\n".repeat(80));
        assert_eq!(faults("a.rs", &text), [""; 0]);
    }

    #[test]
    fn generated_files_may_be_as_they_are() {
        let text = "// @generated by prost\nfn f() { todo!() }\n";
        assert_eq!(faults("crates/proto/src/v1.rs", text), [""; 0]);
        assert_eq!(faults("crates/proto/src/generated/v1.rs", "fn f() {}"), [""; 0]);
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        assert_one_fault("crates/x/tests/common/mod.rs", "//! X.\n", "`common`");
        assert_one_fault("crates/x/src/queue_manager.rs", "//! X.\n", "`queue_manager`");
        assert_one_fault("crates/test-utils/src/lib.rs", "//! X.\n", "`test-utils`");
        assert_one_fault("a.rs", "//! X.\nmod helpers {}\n", "2: module `helpers`");
        assert_eq!(faults("crates/x/src/utility_bill.rs", "//! X.\n"), [""; 0]);
    }

    #[test]
    fn log_messages_are_lower_case_without_period() {
        let log = |message: &str| format!("//! X.\nfn f() {{ warn!(x = \"No.\", {message:?}); }}");
        assert_one_fault("a.rs", &log("Lease lost"), "lower case");
        assert_one_fault("a.rs", &log("lease lost."), "period");
        for sound in ["lease lost", "SQLite is busy", "PDF written", "{id} lost", "S3 is slow"] {
            assert_eq!(faults("a.rs", &log(sound)), [""; 0], "{sound}");
        }
    }

    #[test]
    fn unfinished_code_is_refused() {
        assert_one_fault("a.rs", "//! X.\nfn f() { todo!() }\n", "`todo!`");
        assert_one_fault("a.rs", "//! X.\nfn f() { g(vec![dbg!(1)]) }\n", "`dbg!`");
        assert_eq!(faults("a.rs", "//! X.\nfn f(todo: u8) -> bool { todo != (1) }\n"), [""; 0]);
    }

    #[test]
    fn what_is_simulated_leaves_no_order_to_chance() {
        let random = "//! X.\nfn f() { tokio::select! { () = a => {} () = b => {} } }\n";
        assert_one_fault("crates/engine/src/relay.rs", random, "2: `select!` begins with a random");
        assert_eq!(faults("crates/client/src/call.rs", random), [""; 0]);
        let biased = "//! X.\nfn f() { tokio::select! { biased; () = a => {} } }\n";
        assert_eq!(faults("crates/engine/src/relay.rs", biased), [""; 0]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let sleeps = "//! X.\nasync fn f() { tokio::time::sleep(d).await }\n";
        assert_one_fault("crates/x/tests/main.rs", sleeps, "2: a sleep hides a race");
        assert_one_fault("crates/e2e/src/kill.rs", sleeps, "a sleep hides a race");
        assert_eq!(faults("crates/x/src/lib.rs", sleeps), [""; 0]);
        let paused = "//! X, in paused time.\nasync fn f() { tokio::time::sleep(d).await }\n";
        assert_eq!(faults("crates/x/tests/main.rs", paused), [""; 0]);
        let imported = "//! X.\nuse tokio::time::{sleep, timeout};\n";
        assert_one_fault("crates/x/tests/main.rs", imported, "a sleep");
        let method = "//! X.\nasync fn f() { clock.sleep(d).await }\n";
        assert_eq!(faults("crates/x/tests/main.rs", method), [""; 0]);
    }

    #[test]
    fn unit_tests_do_not_sleep_and_nothing_blocks_its_thread() {
        let unit =
            "//! X.\n#[cfg(test)]\nmod tests { fn f() { time::sleep(d); } }\nfn sleep() {}\n";
        assert_one_fault("crates/x/src/lib.rs", unit, "3: a sleep");
        let thread = "//! X.\nfn f() { std::thread::sleep(d) }\n";
        assert_one_fault("crates/x/src/lib.rs", thread, "2: a sleep");
    }
}
