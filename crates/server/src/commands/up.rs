//! `printmill up`: a whole node until it is stopped.

use crate::bootstrap;
use crate::config::{Config, Flags};
use crate::failure::{Failure, Outcome};
use crate::node::Node;
use crate::output;
use crate::signals::shutdown_on_signal;
use crate::telemetry::{self, LogTo};
use clap::Args;
use console::style;
use std::path::Path;

/// Run a whole node until it is stopped; makes a merchant and a key on its first start.
#[derive(Debug, Args)]
#[command(after_help = "\
On its first start in a data folder it makes a merchant and shows its API key. The key is stored
as a hash, so it is shown this once; `printmill keys create` makes another.

Ctrl-C (or SIGTERM) lets running work finish; a second one quits at once, and the next start takes
up what was in work.

Examples:
  printmill up
  printmill up --listen 127.0.0.1:8080 --data /var/lib/printmill
  printmill config --reference > printmill.toml     all settings, as a file to edit")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Runs a node with all roles.
pub(crate) async fn run(args: &UpArgs, file: Option<&Path>, json: bool) -> Outcome {
    let settings = Config::load(file, &args.flags)?.settings;
    if !settings.roles.are_all() {
        return Err(Failure::configuration(
            format!("`up` runs all roles, but 'roles' = {}", settings.roles),
            "remove the setting, or run `printmill serve`",
        ));
    }
    let shutdown = shutdown_on_signal()?;
    let telemetry = telemetry::start(&settings, LogTo::StandardError)?;
    let node = Node::open(settings, telemetry).await?;
    let backends = node.backends();
    let first = bootstrap::first_merchant(backends.database.as_ref(), backends.clock.now()).await?;
    let (database, now) = (backends.database.as_ref(), backends.clock.now());
    bootstrap::local_operator_key(node.settings(), database, now).await?;
    let address = node.address().map(|address| format!("http://{address}")).unwrap_or_default();
    let data = node.settings().data.display().to_string();
    if json {
        let (merchant, key) =
            first.as_ref().map(|(merchant, key)| (merchant.id.to_string(), key.reveal())).unzip();
        output::json(&serde_json::json!({
            "address": address, "data": data, "merchant": merchant, "key": key,
        }))?;
    } else {
        let bold = style("printmill is up at").bold();
        output::line(format!("{bold} {}", style(&address).cyan().bold()));
        output::line(format!("data in {data}"));
        if let Some((merchant, key)) = &first {
            let key = key.reveal();
            output::line(format!(
                "\nAPI key of {} ({}), shown this once:\n",
                merchant.name, merchant.id
            ));
            output::line(format!("  {}", style(&key).green().bold()));
            let export = format!("export PRINTMILL_KEY={key}");
            output::next_steps(&[
                (&export, "let the other commands use it"),
                ("printmill upload photos/*.jpg", "upload pictures"),
                ("printmill facility list", "who can print"),
            ]);
        }
    }
    drop(first);
    node.run(shutdown).await
}
