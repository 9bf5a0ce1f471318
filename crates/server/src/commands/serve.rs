//! `printmill serve`: some roles of a node.

use crate::config::{Config, Flags, Role};
use crate::failure::{Failure, Outcome};
use crate::node::Node;
use crate::output;
use crate::roles::supervisor::Program;
use crate::signals::shutdown_on_signal;
use crate::supervised::Parent;
use crate::telemetry::{self, LogTo};
use clap::Args;
use std::path::Path;

/// Run some roles of a node: api, worker, dispatcher, supervisor.
#[derive(Debug, Args)]
#[command(after_help = "\
The roles meet in the database, the queue and the store of files only, so each may run as often as
needed, wherever it can reach those. `api` serves clients, `worker` charges, inspects, routes and
renders, `dispatcher` brings tickets to the queue and events into order; at least one of each must
run. `supervisor` starts workers on this machine when there is work, and lets them go when there is
none: see docs/guides/scaling.md. Keys come from `printmill keys create`.

Examples:
  printmill serve --roles api
  printmill serve --roles worker --render-concurrency 4
  printmill serve --roles worker,dispatcher --data /var/lib/printmill
  printmill serve --roles api,dispatcher,supervisor    workers come and go with the work")]
pub(crate) struct ServeArgs {
    /// A supervisor started this worker: see `crate::supervised`.
    #[arg(long, hide = true)]
    supervised: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the configured roles.
pub(crate) async fn run(args: &ServeArgs, file: Option<&Path>, json: bool) -> Outcome {
    let mut settings = Config::load(file, &args.flags)?.settings;
    if args.supervised {
        // It inherits the settings of its supervisor, which has that port.
        settings.status_listen = None;
    }
    let shutdown = shutdown_on_signal()?;
    let parent = args.supervised.then(|| Parent::listen(shutdown.clone()));
    let program = match settings.roles.has(Role::Supervisor) {
        true => Some(worker_program(args, file)?),
        false => None,
    };
    let telemetry = telemetry::start(&settings, LogTo::StandardError)?;
    let node = Node::open(settings, telemetry).await?;
    let node = node.supervised_by(parent).supervising(program);
    if args.supervised {
        // Standard output is the supervisor's.
        return node.run(shutdown).await;
    }
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

/// How this node's supervisor starts a worker.
fn worker_program(args: &ServeArgs, file: Option<&Path>) -> Outcome<Program> {
    Program::worker(file, &args.flags).map_err(|error| {
        let message = format!("the program that workers run cannot be found: {error}");
        Failure::configuration(message, "start it by its path, from a folder that it may read")
    })
}
