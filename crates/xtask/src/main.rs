//! The project's own checks. `cargo xtask test` runs all that CI runs.

mod backends;
mod chart;
mod compose;
mod containers;
mod dependencies;
mod errors;
mod report;
mod rules;
mod servers;
mod steps;
mod surroundings;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::steps::Selection;
use crate::surroundings::Surroundings;

/// The project's own checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run all that CI runs, in order, and stop at the first failure.
    Test(Selection),
    /// Check lengths, names, opening lines, log messages and sleeps.
    Tidy,
    /// Check who imports whom, and that the committed graph is the real one.
    Dependencies {
        /// Write the graph anew to crates/xtask/dependencies.txt.
        #[arg(long)]
        bless: bool,
    },
    /// Simulate the whole platform with everything going wrong; `--help` shows more.
    #[command(disable_help_flag = true)]
    Sim {
        /// What the simulation takes: `--seeds N`, `--seed S`, `--without WHAT`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Real servers for tests: install them, or run a command beside one of each.
    #[command(subcommand)]
    Servers(servers::Task),
    /// Real containers: build the image, and bring the compose profiles up with Podman.
    #[command(subcommand)]
    Containers(containers::Task),
    /// Check that docs/backends/README.md is what the adapters declare.
    Backends {
        /// Write it anew.
        #[arg(long)]
        bless: bool,
    },
    /// Check the Helm chart: lint it, render it, and hold what comes out to Kubernetes' schemas.
    Chart(chart::Chart),
    /// Check that every error code has its page, and every page its code.
    Errors {
        /// Write the index of the pages anew.
        #[arg(long)]
        bless: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let root = workspace::root();
    match arguments.task {
        Task::Test(selection) => steps::run(&Surroundings::find(root)?, &selection),
        Task::Tidy => tidy::check(&root)?.into_result(),
        Task::Dependencies { bless } => dependencies::check(&root, bless)?.into_result(),
        Task::Sim { arguments } => steps::simulate(&Surroundings::find(root)?, &arguments),
        Task::Servers(task) => servers::task(task),
        Task::Containers(task) => containers::task(&Surroundings::find(root)?, task),
        Task::Backends { bless } => backends::check(&Surroundings::find(root)?, bless),
        Task::Chart(what) => chart::task(&root, &what),
        Task::Errors { bless } => errors::check(&root, bless)?.into_result(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
