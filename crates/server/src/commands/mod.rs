//! The commands, one file each.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod consumers;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod facility;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod order;
pub(crate) mod orders;
pub(crate) mod products;
pub(crate) mod queues;
pub(crate) mod quote;
mod schedule_make;
pub(crate) mod schedules;
pub(crate) mod serve;
mod ticket_show;
pub(crate) mod tickets;
pub(crate) mod timeline;
pub(crate) mod up;
pub(crate) mod upload;
pub(crate) mod workers;

#[cfg(test)]
pub(crate) use check::advice::words;

use crate::cli::{Cli, Command, CompletionsArgs};
use crate::failure::{Failure, Outcome};
use clap::CommandFactory;
use printmill_domain::problem::Code;
use tokio::runtime::{Builder, Runtime};

/// Threads of a node: enough for its cores, and few, since each keeps memory of its own.
const THREADS_MAX: usize = 4;
/// Threads for work that blocks: renders, inspections, files.
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> Outcome {
    let Cli { json, config: file, command } = cli;
    let file = file.as_deref();
    match command {
        Command::Demo(args) => node_runtime()?.block_on(demo::run(&args, file, json)),
        Command::Up(args) => node_runtime()?.block_on(up::run(&args, file, json)),
        Command::Serve(args) => node_runtime()?.block_on(serve::run(&args, file, json)),
        Command::Upload(args) => client_runtime()?.block_on(upload::run(&args, json)),
        Command::Quote(args) => client_runtime()?.block_on(quote::run(&args, json)),
        Command::Order(args) => client_runtime()?.block_on(order::run(&args, json)),
        Command::Orders(command) => client_runtime()?.block_on(orders::run(&command, json)),
        Command::Events(command) => client_runtime()?.block_on(events::run(&command, json)),
        Command::Facility(command) => {
            client_runtime()?.block_on(facility::run(&command, file, json))
        }
        Command::Products(args) => client_runtime()?.block_on(products::run(&args, json)),
        Command::Queues(args) => client_runtime()?.block_on(queues::run(&args, file, json)),
        Command::Tickets(command) => client_runtime()?.block_on(tickets::run(&command, file, json)),
        Command::Schedules(command) => {
            client_runtime()?.block_on(schedules::run(&command, file, json))
        }
        Command::Workers(command) => client_runtime()?.block_on(workers::run(&command, file, json)),
        Command::Keys(command) => client_runtime()?.block_on(keys::run(&command, file, json)),
        Command::Consumers(command) => {
            client_runtime()?.block_on(consumers::run(&command, file, json))
        }
        Command::Health(args) => client_runtime()?.block_on(health::run(&args, file, json)),
        Command::Check(args) => node_runtime()?.block_on(check::run(&args, file, json)),
        Command::Config(args) => config::run(&args, file, json),
        Command::Migrate(args) => client_runtime()?.block_on(migrate::run(&args, file, json)),
        Command::Completions(CompletionsArgs { shell }) => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Cli::command(), "printmill", &mut script);
            crate::output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    }
}

fn node_runtime() -> Outcome<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    built(Builder::new_multi_thread().worker_threads(cores.min(THREADS_MAX)))
}

fn client_runtime() -> Outcome<Runtime> {
    built(&mut Builder::new_current_thread())
}

fn built(builder: &mut Builder) -> Outcome<Runtime> {
    let built = builder.max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build();
    built.map_err(|error| {
        let message = format!("the process cannot start its threads: {error}");
        Failure::new(Code::Internal, message, "check the limits of this process")
    })
}
