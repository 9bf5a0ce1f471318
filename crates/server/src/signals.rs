//! Being asked to stop: the first signal drains, the second quits at once.

use crate::failure::{Failure, Outcome};
use crate::output;
use printmill_domain::problem::Code;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGTERM or SIGINT. Another signal after that ends the process.
pub(crate) fn shutdown_on_signal() -> Outcome<CancellationToken> {
    let unable = |error: std::io::Error| {
        let message = format!("signals cannot be received: {error}");
        Failure::new(Code::Internal, message, "check the limits of this process")
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(unable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unable)?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping, again to quit at once");
        cancelled.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        output::error_line("quit at once; whatever was in work is taken up at the next start");
        std::process::exit(1);
    });
    Ok(token)
}
