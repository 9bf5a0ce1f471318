//! `printmill tickets`: single units of work.

use super::ticket_show::{self, ShowArgs};
use crate::failure::Outcome;
use clap::Subcommand;
use std::path::Path;

/// Single units of work.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketsCommand {
    /// Show a ticket and its history: who held it, since when, and why it failed.
    Show(ShowArgs),
}

/// Runs one of them.
pub(crate) async fn run(command: &TicketsCommand, file: Option<&Path>, json: bool) -> Outcome {
    match command {
        TicketsCommand::Show(args) => ticket_show::run(args, file, json).await,
    }
}
