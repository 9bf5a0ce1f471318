//! The `printmill` binary.

mod ask;
#[cfg(all(
    test,
    feature = "postgres",
    feature = "mysql",
    feature = "s3",
    feature = "gcs",
    feature = "azure",
    feature = "sqs",
    feature = "nats",
    feature = "rabbitmq"
))]
mod backends_table;
mod bootstrap;
mod cli;
mod commands;
mod config;
mod failure;
mod node;
mod output;
mod roles;
mod setup;
mod signals;
mod spot;
mod supervised;
mod telemetry;
mod wiring;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let json = cli.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(json);
            ExitCode::FAILURE
        }
    }
}
