//! Tells of commits that other processes made.

use super::log_watch::LogWatch;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often to look while commits come, and when there was none for `QUIET` and nobody tells of
/// the next.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);

/// Moves the counter after writes to a file, until nobody listens any more.
pub(crate) async fn watch(path: PathBuf, counter: Arc<watch::Sender<u64>>) {
    let mut log = LogWatch::of(&path);
    let mut moved = Instant::now();
    loop {
        // This process's own writes are told of once more: they cannot be told from others'.
        if log.moved() {
            moved = Instant::now();
            counter.send_modify(|count| *count += 1);
        }
        let quiet = moved.elapsed() >= QUIET;
        let rests = quiet && log.may_rest();
        tokio::select! {
            () = counter.closed() => return,
            () = log.written(), if rests => {}
            () = tokio::time::sleep(if quiet { LOOK_QUIET } else { LOOK }), if !rests => {}
        }
    }
}
