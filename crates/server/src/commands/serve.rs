//! `printmill serve`: some roles of a node.

use crate::config::{Config, Flags, Role};
use crate::failure::Outcome;
use crate::node::Node;
use crate::output;
use crate::signals::shutdown_on_signal;
use crate::telemetry::{self, LogTo};
use clap::Args;
use std::path::Path;

/// Run some roles of a node: api, worker, dispatcher.
#[derive(Debug, Args)]
#[command(after_help = "\
The roles meet in the database, the queue and the store of files only, so each may run as often as
needed, wherever it can reach those. `api` serves clients, `worker` charges, inspects, routes and
renders, `dispatcher` brings tickets to the queue and events into order; at least one of each must
run. Keys come from `printmill keys create`.

Examples:
  printmill serve --roles api
  printmill serve --roles worker --render-concurrency 4
  printmill serve --roles worker,dispatcher --data /var/lib/printmill")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Runs the configured roles.
pub(crate) async fn run(args: &ServeArgs, file: Option<&Path>, json: bool) -> Outcome {
    let settings = Config::load(file, &args.flags)?.settings;
    let shutdown = shutdown_on_signal()?;
    let telemetry = telemetry::start(&settings, LogTo::StandardError)?;
    let node = Node::open(settings, telemetry).await?;
    let roles = &node.settings().roles;
    let address = node.address().map(|address| format!("http://{address}"));
    if json {
        output::json(&serde_json::json!({ "address": address, "roles": roles }))?;
    } else {
        match (&address, roles.has(Role::Api)) {
            (Some(address), true) => output::line(format!("serving {roles} at {address}")),
            _ => output::line(format!("serving {roles}")),
        }
    }
    node.run(shutdown).await
}
