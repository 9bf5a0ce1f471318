//! Whether a SQLite file was written to, also by another process: seen at its log, by asking the
//! file system, which takes no connection and no thread.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// File systems round times of writing to the ticks of a slow clock, up to 10 ms. A later write
/// within the same tick cannot be told from an earlier one, so what was written so recently counts
/// as new once more.
const TICK_MAX: Duration = Duration::from_millis(12);

/// What a write to a log changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    written: SystemTime,
}

/// The log of a file, and how it was when it was last looked at.
#[derive(Debug)]
pub(crate) struct LogStamp {
    log: PathBuf,
    seen: Option<Stamp>,
    /// What was seen may hide a later write.
    recent: bool,
}

impl LogStamp {
    /// A log. What was written before the first look counts as new.
    pub(crate) fn of(log: PathBuf) -> Self {
        Self { log, seen: None, recent: true }
    }

    /// Whether something may have been written since the last look.
    pub(crate) fn moved(&mut self) -> bool {
        let now = std::fs::metadata(&self.log).ok().and_then(|log| {
            let written = log.modified().ok()?;
            Some(Stamp { size: log.len(), written })
        });
        let moved = self.recent || now != self.seen;
        let age = now.and_then(|stamp| stamp.written.elapsed().ok());
        // A time in the future is that of a clock which was put back: nothing can be told of it.
        self.recent = now.is_some() && age.is_none_or(|age| age < TICK_MAX);
        self.seen = now;
        moved
    }
}
