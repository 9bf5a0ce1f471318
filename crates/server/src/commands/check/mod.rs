//! `printmill check`: whether the configured backends keep their contracts, tried beside whatever
//! uses them, in a namespace of its own.

pub(crate) mod advice;
mod backends;
mod cases;
mod report;

use crate::config::{Config, Flags};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::setup;
use crate::signals::shutdown_on_signal;
use crate::telemetry::{self, LogTo};
use cases::Watch;
use clap::{Args, ValueEnum};
use printmill_backend::fresh;
use printmill_domain::problem::Code;
use report::Report;
use std::path::Path;

/// Try whether the configured backends keep their contracts, beside a deployment in use.
#[derive(Debug, Args)]
#[command(after_help = "\
It opens each backend as a node does at its start, which brings the database's tables up to date,
and runs those cases of the conformance suite that are safe beside a deployment in use: they keep to
lanes, a merchant and a place for files of their own, with a few hundred messages and rows and some
megabytes, and take a minute or two at most. Files and messages are taken out again afterwards;
rows are those that housekeeping deletes.

It says what passed, what Printmill does itself since the backend cannot, and what to change. The
exit code is 0 only if everything passed.

Examples:
  printmill check                            what ./printmill.toml and the environment name
  printmill check --only queue               one of them; may be given more than once
  printmill check --database 'postgres://printmill:PASSWORD@db.example/printmill'
  printmill check --json | jq '.backends[] | select(.passed | not)'")]
pub(crate) struct CheckArgs {
    /// Check this backend alone; may be given more than once.
    #[arg(long, value_enum, value_name = "BACKEND")]
    only: Vec<Kind>,
    /// What its namespace is called after `check-`, instead of a random number: where queues must be
    /// made beforehand (check-NAME-conformance, check-NAME-other), or should not become more. Two
    /// checks at the same time must not share one.
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// What can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The database.
    Database,
    /// The queue.
    Queue,
    /// The store of files.
    Blobs,
    /// The payment gateway.
    Payments,
}

impl Kind {
    /// The setting that names it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Kind::Database => "database",
            Kind::Queue => "queue",
            Kind::Blobs => "blobs",
            Kind::Payments => "payments",
        }
    }
}

/// The longest name of a namespace.
const NAMESPACE_CHARS_MAX: usize = 24;

fn namespace(text: &str) -> Result<String, String> {
    let fits = (1..=NAMESPACE_CHARS_MAX).contains(&text.len());
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match fits && plain {
        true => Ok(text.to_owned()),
        false => Err(format!("write 1 to {NAMESPACE_CHARS_MAX} of a-z, 0-9 and -")),
    }
}

/// Checks, and says what came of it.
pub(crate) async fn run(args: &CheckArgs, file: Option<&Path>, json: bool) -> Outcome {
    let settings = Config::load(file, &args.flags)?.settings;
    let findings = setup::of_settings(&settings);
    if let Some(refused) = findings.iter().find(|finding| finding.refused) {
        return Err(refused.clone().into());
    }
    let stop = shutdown_on_signal()?;
    // What goes wrong is in the report.
    let quiet = crate::config::Settings { log: "error".into(), ..settings.clone() };
    let _telemetry = telemetry::start(&quiet, LogTo::StandardError)?;
    crate::wiring::make_data_folder(&settings)?;
    let wanted = |kind: Kind| args.only.is_empty() || args.only.contains(&kind);
    let random = || hex::encode(fresh::bytes::<4>());
    let name = format!("check-{}", args.namespace.clone().unwrap_or_else(random));
    let watch = Watch::new(stop, !json);
    let checked = backends::check(&settings, &name, &wanted, &watch).await;
    watch.clear();
    let report = Report::new(name, checked, &settings, findings);
    if json {
        output::json(&report)?;
    } else {
        output::line(report.text());
    }
    if report.passed {
        if !json {
            output::next_steps(&[
                ("printmill up", "run a node on them"),
                ("printmill config", "see what takes effect, and where it came from"),
            ]);
        }
        return Ok(());
    }
    let failed = report.failed().join(", ");
    Err(Failure::new(
        Code::CheckFailed,
        format!("not everything passed: {failed}"),
        "each one above says what to change; `printmill check --only BACKEND` repeats one",
    ))
}
