//! The command line: what every command shares, and the list of commands.

use crate::bootstrap;
use crate::commands::{
    check::CheckArgs, config::ConfigArgs, consumers::ConsumersCommand, demo::DemoArgs,
    events::EventsCommand, facility::FacilityCommand, health::HealthArgs, keys::KeysCommand,
    migrate::MigrateArgs, order::OrderArgs, orders::OrdersCommand, queues::QueuesArgs,
    quote::QuoteArgs, schedules::SchedulesCommand, serve::ServeArgs, tickets::TicketsCommand,
    up::UpArgs, upload::UploadArgs, workers::WorkersCommand,
};
use crate::failure::Outcome;
use clap::{Args, Parser, Subcommand};
use printmill_client::Client;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  printmill demo                          an order from photos to shipped, with nothing set up
  printmill up                            run a node; shows an API key on its first start
  export PRINTMILL_KEY=pmk_…              the key that `up` showed
  printmill upload photos/*.jpg           upload pictures
  printmill orders list                   see what was ordered

Each command says more with --help. Every error has a page in docs/errors/.";

/// A print and media cloud: takes in photos, makes print-ready books of them, and sends each to
/// the facility nearest to whoever receives it.
#[derive(Debug, Parser)]
#[command(name = "printmill", version, propagate_version = true, after_help = EXAMPLES)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Print JSON for scripts: one value (those that go on, like `orders watch`: one per line),
    /// and errors as JSON on standard error.
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// The configuration file; ./printmill.toml is read when it is there.
    #[arg(long, global = true, value_name = "FILE", display_order = 901)]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See an order go from photos to shipped, on this machine, with nothing set up.
    Demo(DemoArgs),
    /// Run a whole node until it is stopped; makes a merchant and a key on its first start.
    Up(UpArgs),
    /// Run some roles of a node: api, worker, dispatcher, supervisor.
    Serve(ServeArgs),
    /// Upload pictures and wait until they are inspected.
    Upload(UploadArgs),
    /// Make a photobook of uploaded pictures and get an offer for it.
    Quote(QuoteArgs),
    /// Turn an offer into an order, and pay it.
    Order(OrderArgs),
    /// List orders, show one, or watch one live.
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Follow what happens in the whole account, list it, or count it by day.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Run a print facility's client, or list the facilities.
    #[command(subcommand)]
    Facility(FacilityCommand),
    /// List what can be made.
    Products(ProductsArgs),
    /// Show how much work waits and runs in each lane.
    Queues(QueuesArgs),
    /// List, make and delete schedules; run one now, pause and resume them.
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// Show a ticket's history, cancel one; list those that were given up, have them tried again.
    #[command(subcommand)]
    Tickets(TicketsCommand),
    /// List workers and what they work on; drain and resume them, and set how much they take on.
    #[command(subcommand)]
    Workers(WorkersCommand),
    /// Make, list and revoke API keys, straight in the configured database.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List who reads the event log, and have them read again.
    #[command(subcommand)]
    Consumers(ConsumersCommand),
    /// Ask the process that this configuration describes whether it is well.
    Health(HealthArgs),
    /// Try whether the configured backends keep their contracts, beside a deployment in use.
    Check(CheckArgs),
    /// Show the configuration as it takes effect, secrets left out.
    Config(ConfigArgs),
    /// Make the database's tables, or bring them up to date, and end.
    Migrate(MigrateArgs),
    /// Print shell completions.
    Completions(CompletionsArgs),
}

/// Which server to talk to, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server's address.
    #[arg(long, env = "PRINTMILL_SERVER", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7070", display_order = 800)]
    pub(crate) server: String,
    /// The API key. Better in the environment than on the command line, where others see it.
    #[arg(long, env = "PRINTMILL_KEY", hide_env_values = true, value_name = "KEY")]
    #[arg(display_order = 801)]
    pub(crate) key: Option<String>,
}

impl ServerArgs {
    /// A client of that server.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let key = self.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        Ok(Client::connect(&self.server, key)?)
    }
}

/// Which server an operator talks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct OperatorArgs {
    /// The server's address.
    #[arg(long, env = "PRINTMILL_SERVER", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7070", display_order = 800)]
    pub(crate) server: String,
    /// An operator's key; without it, the one that `printmill up` left in the data folder.
    #[arg(long, env = "PRINTMILL_OPERATOR_KEY", hide_env_values = true, value_name = "KEY")]
    #[arg(display_order = 801)]
    pub(crate) key: Option<String>,
}

impl OperatorArgs {
    /// A client of that server, for an operator.
    pub(crate) fn client(&self, file: Option<&Path>) -> Outcome<Client> {
        let given = self.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        let key = match given {
            Some(key) => key.to_owned(),
            None => bootstrap::stored_operator_key(file)?,
        };
        Ok(Client::connect(&self.server, Some(&key))?)
    }
}

/// List what can be made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill products
  printmill products --json | jq -r '.products[].sku'")]
pub(crate) struct ProductsArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Print shell completions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printmill completions bash > ~/.local/share/bash-completion/completions/printmill
  printmill completions zsh  > ~/.zfunc/_printmill
  printmill completions fish > ~/.config/fish/completions/printmill.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
