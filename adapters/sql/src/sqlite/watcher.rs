//! Tells of commits that other processes made.

use super::log_stamp::LogStamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often to look: while commits come, and when there was none for `QUIET`.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);

/// Moves the counter after writes to a file, until nobody listens any more.
pub(crate) async fn watch(path: PathBuf, counter: Arc<watch::Sender<u64>>) {
    let mut log = LogStamp::of(&path);
    let mut moved = Instant::now();
    loop {
        // This process's own writes are told of once more: they cannot be told from others'.
        if log.moved() {
            moved = Instant::now();
            counter.send_modify(|count| *count += 1);
        }
        let pause = if moved.elapsed() < QUIET { LOOK } else { LOOK_QUIET };
        tokio::select! {
            () = counter.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
