//! `printmill migrate`: the tables of a database, made or brought up to date.

use crate::config::{Config, Flags};
use crate::failure::Outcome;
use crate::output;
use crate::wiring;
use clap::Args;
use std::path::Path;

/// Make the database's tables, or bring them up to date, and end.
#[derive(Debug, Args)]
#[command(after_help = "\
A node does this when it starts, unless the setting 'migrate' is off. Nodes of the version before go
on meanwhile: what is changed is only added to. See docs/guides/upgrading.md.

Examples:
  printmill migrate
  printmill migrate --database postgres://printmill:PASSWORD@db.example/printmill")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Migrates.
pub(crate) async fn run(args: &MigrateArgs, file: Option<&Path>, json: bool) -> Outcome {
    let settings = Config::load(file, &args.flags)?.settings;
    let made = wiring::migrate(&settings).await?;
    if json {
        return output::json(&serde_json::json!({ "migrations": made }));
    }
    match made.as_slice() {
        [] => output::line("the tables were up to date"),
        made => output::line(format!("the tables are up to date: made {}", made.join(", "))),
    }
    Ok(())
}
