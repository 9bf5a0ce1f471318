//! The steps of `cargo xtask test`: what CI runs, in order, each announced and timed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::servers::{self, Servers};
use crate::surroundings::{Surroundings, run as run_command, run_within};
use crate::{chart, compose, dependencies, errors, tidy};

const CARGO_DENY_VERSION: &str = "0.20.2";
/// All of the workspace, with all that a build for any backend has.
const EVERYTHING: [&str; 4] = ["--workspace", "--features", "printmill/full", "--locked"];
const INSTALL_LIMIT: Duration = Duration::from_secs(20 * 60);
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Which steps to run.
#[derive(Debug, Default, Args)]
pub(crate) struct Selection {
    /// Run this step alone; may be given more than once.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Run the remaining steps after a failure, too.
    #[arg(long)]
    keep_going: bool,
    /// Show the steps and run none.
    #[arg(long)]
    list: bool,
}

/// How a step that did not fail ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Not run, or not all of it, and why.
    Skipped(String),
}

struct Step {
    name: &'static str,
    does: &'static str,
    /// What to do when it fails.
    remedy: &'static str,
    run: fn(&Surroundings) -> Result<Outcome>,
}

const STEPS: [Step; 12] = [
    Step {
        name: "format",
        does: "the code is formatted",
        remedy: "run `cargo fmt --all`",
        run: |around| command(around, &["fmt", "--all", "--check"]),
    },
    Step {
        name: "tidy",
        does: "lengths, names, opening lines, log messages, sleeps",
        remedy: "each fault says what to change",
        run: |around| passed(tidy::check(&around.root)?.into_result()),
    },
    Step {
        name: "dependencies",
        does: "who imports whom, and the committed graph",
        remedy: "keep the rule named; for a wanted change, `cargo xtask dependencies --bless`",
        run: |around| passed(dependencies::check(&around.root, false)?.into_result()),
    },
    Step {
        name: "errors",
        does: "every error code has its page",
        remedy: "write or remove the page; then `cargo xtask errors --bless`",
        run: |around| passed(errors::check(&around.root, false)?.into_result()),
    },
    Step {
        name: "compose",
        does: "the image's Dockerfile, the compose files, the dashboard",
        remedy: "each fault says what to change",
        run: |around| match compose::check(&around.root)? {
            true => Ok(Outcome::Passed),
            false if around.in_ci => bail!("python3 is missing"),
            false => Ok(Outcome::Skipped("python3 is not installed".to_owned())),
        },
    },
    Step {
        name: "chart",
        does: "the Helm chart renders what Kubernetes takes, with as few rights as there are",
        remedy: "each fault says what to change; repeat with `cargo xtask chart`",
        run: |around| match chart::check(&around.root)? {
            Some(missing) => Ok(Outcome::Skipped(missing)),
            None => Ok(Outcome::Passed),
        },
    },
    Step {
        name: "clippy",
        does: "no lint warns, in any target",
        remedy: "mend what clippy names; `#[expect(lint, reason = …)]` where it is wrong",
        run: |around| {
            let warned = ["--all-targets", "--", "-D", "warnings"];
            command(around, &[&["clippy"], &EVERYTHING[..], &warned].concat())
        },
    },
    Step {
        name: "deny",
        does: "licences, banned crates, sources and known holes of dependencies",
        remedy: "replace the crate, or decide on it in deny.toml with a reason",
        run: deny,
    },
    Step {
        name: "tests",
        does: "unit, conformance and e2e tests",
        remedy: "repeat one with `cargo nextest run --package CRATE NAME`",
        run: tests,
    },
    Step {
        name: "doctests",
        does: "the examples in the documentation",
        remedy: "repeat with `cargo test --doc --package CRATE`",
        run: |around| command(around, &[&["test", "--doc"], &EVERYTHING[..]].concat()),
    },
    Step {
        name: "docs",
        does: "the documentation builds without warnings",
        remedy: "mend the link or the markup that rustdoc names",
        run: |around| {
            let mut cargo = around.cargo(&[&["doc", "--no-deps"], &EVERYTHING[..]].concat());
            cargo.env("RUSTDOCFLAGS", "-D warnings");
            passed(run_command(cargo))
        },
    },
    Step {
        name: "demo",
        does: "an order goes all the way, in release, in an empty folder",
        remedy: "repeat with `cargo run --release -- demo`",
        run: demo,
    },
];

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn command(around: &Surroundings, arguments: &[&str]) -> Result<Outcome> {
    passed(run_command(around.cargo(arguments)))
}

fn deny(around: &Surroundings) -> Result<Outcome> {
    if !around.has("deny") {
        if !around.in_ci {
            let how = format!("cargo install --locked cargo-deny --version {CARGO_DENY_VERSION}");
            return Ok(Outcome::Skipped(format!("cargo-deny is not installed: `{how}`")));
        }
        around.install("cargo-deny", CARGO_DENY_VERSION, INSTALL_LIMIT)?;
    }
    run_command(around.cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]))?;
    let mut fetch = around.cargo(&["deny", "--locked", "fetch", "db"]);
    fetch.stdout(Stdio::null()).stderr(Stdio::null());
    if run_within(fetch, FETCH_LIMIT).is_err() {
        let why = "advisories: the advisory database cannot be reached (the rest passed)";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    command(around, &["deny", "--locked", "check", "--disable-fetch", "advisories"])
}

fn tests(around: &Surroundings) -> Result<Outcome> {
    let nextest = around.has("nextest");
    if around.in_ci && !nextest {
        bail!("cargo-nextest is missing: .ci/run installs it");
    }
    if around.in_ci {
        servers::install()?;
    }
    let servers = Servers::start()?;
    if nextest {
        let arguments = [&["nextest", "run", "--no-fail-fast"], &EVERYTHING[..]].concat();
        return passed(servers.run(around.cargo(&arguments)));
    }
    println!("    cargo-nextest is not installed: falling back to cargo test");
    let arguments =
        [&["test", "--no-fail-fast", "--lib", "--bins", "--tests"], &EVERYTHING[..]].concat();
    passed(servers.run(around.cargo(&arguments)))
}

fn demo(around: &Surroundings) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let manifest = around.root.join("Cargo.toml");
    let mut cargo = around.cargo(&["run", "--release", "--locked", "--manifest-path"]);
    cargo.arg(manifest).args(["--", "demo"]).current_dir(folder.path());
    run_command(cargo)?;
    let data = folder.path().join("printmill-data");
    if std::fs::read_dir(&data).map_or(true, |mut entries| entries.next().is_none()) {
        bail!("the demo ended well, but left nothing in printmill-data");
    }
    Ok(Outcome::Passed)
}

/// Runs the simulation with these arguments.
pub(crate) fn simulate(around: &Surroundings, arguments: &[String]) -> Result<()> {
    let mut cargo = around.cargo(&["run", "--quiet", "--package", "printmill-simulation", "--"]);
    cargo.args(arguments);
    run_command(cargo)
}

/// Runs the selected steps. Fails if a name is unknown or a step failed.
pub(crate) fn run(around: &Surroundings, selection: &Selection) -> Result<()> {
    let steps = selected(&selection.only)?;
    if selection.list {
        for step in steps {
            println!("{:<14}{}", step.name, step.does);
        }
        return Ok(());
    }
    let begun = Instant::now();
    let report = run_in_order(around, &steps, selection.keep_going);
    println!("\n{}", report.lines.join("\n"));
    println!("{:<14}{:>12}", "total", duration(begun.elapsed()));
    if !report.failed.is_empty() {
        bail!("failed: {}", report.failed.join(", "));
    }
    Ok(())
}

/// How a run went: a line per step that ran, and the names of those that failed.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    failed: Vec<&'static str>,
}

fn run_in_order(around: &Surroundings, steps: &[&'static Step], keep_going: bool) -> Report {
    let mut report = Report::default();
    for (index, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.does);
        let started = Instant::now();
        let result = (step.run)(around);
        let took = duration(started.elapsed());
        let verdict = match &result {
            Ok(Outcome::Passed) => "ok".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("SKIPPED {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        println!("<== {}: {verdict} ({took})", step.name);
        report.lines.push(format!("{:<14}{took:>12}  {verdict}", step.name));
        if let Err(error) = result {
            println!("{error:#}\n    what to do: {}", step.remedy);
            println!("    this step alone: cargo xtask test --only {}", step.name);
            report.failed.push(step.name);
            if !keep_going {
                break;
            }
        }
    }
    report
}

/// The steps named, in the order in which CI runs them; all if none is named.
fn selected(names: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; there are: {}", known.join(", "));
    }
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(STEPS.iter().filter(wanted).collect())
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Result<Vec<&'static str>> {
        let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        Ok(selected(&only)?.iter().map(|step| step.name).collect())
    }

    #[test]
    fn without_a_choice_all_steps_run_and_the_demo_comes_last() {
        let all = names(&[]).unwrap();
        assert_eq!(all.len(), STEPS.len());
        assert_eq!(all.last(), Some(&"demo"));
    }

    #[test]
    fn chosen_steps_keep_their_order() {
        assert_eq!(names(&["tests", "format"]).unwrap(), ["format", "tests"]);
    }

    #[test]
    fn an_unknown_step_shows_the_known_ones() {
        let error = names(&["lint"]).unwrap_err().to_string();
        assert!(error.contains("no step `lint`") && error.contains("clippy"), "{error}");
    }

    fn made_up(name: &'static str, run: fn(&Surroundings) -> Result<Outcome>) -> &'static Step {
        Box::leak(Box::new(Step { name, does: "", remedy: "", run }))
    }

    #[test]
    fn a_failure_stops_the_run_unless_it_shall_go_on() {
        let around = Surroundings::find(std::env::temp_dir()).unwrap();
        let steps = [
            made_up("skips", |_| Ok(Outcome::Skipped("no net".to_owned()))),
            made_up("fails", |_| bail!("broken")),
            made_up("passes", |_| Ok(Outcome::Passed)),
        ];
        let stopped = run_in_order(&around, &steps, false);
        assert_eq!((stopped.lines.len(), stopped.failed), (2, vec!["fails"]));
        assert!(stopped.lines[0].ends_with("SKIPPED no net"), "{:?}", stopped.lines);
        let whole = run_in_order(&around, &steps, true);
        assert_eq!((whole.lines.len(), whole.failed), (3, vec!["fails"]));
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        assert_eq!(duration(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
    }
}
