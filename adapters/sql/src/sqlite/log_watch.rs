//! Whether a SQLite file was written to, also by another process, and the next time that it is. In
//! quiet times the kernel tells, by inotify, so that a node with nothing to do does nothing.

use super::connect::sibling;
use super::log_stamp::LogStamp;
use std::path::Path;

/// The log of a file, watched.
#[derive(Debug)]
pub(crate) struct LogWatch {
    stamp: LogStamp,
    kernel: Option<kernel::Watch>,
    /// A look found a write that nobody was told of yet.
    untold: bool,
}

impl LogWatch {
    /// The log of a database file. What was written before the first look counts as new.
    pub(crate) fn of(path: &Path) -> Self {
        let log = sibling(path, "-wal");
        let kernel = kernel::Watch::new(&log);
        Self { stamp: LogStamp::of(log), kernel, untold: false }
    }

    /// Whether something may have been written since the last look.
    pub(crate) fn moved(&mut self) -> bool {
        std::mem::take(&mut self.untold) | self.stamp.moved()
    }

    /// Whether there is no need to look until [`LogWatch::written`] says so. If not, something was
    /// written already, or this system cannot tell.
    pub(crate) fn may_rest(&mut self) -> bool {
        let Some(kernel) = &mut self.kernel else { return false };
        if !kernel.is_armed() {
            if !kernel.arm() {
                return false;
            }
            // Not told of: what was written before.
            self.untold |= self.stamp.moved();
        }
        !self.untold
    }

    /// Whether the next look will say yes, because of a write that was already seen.
    pub(crate) fn has_untold(&self) -> bool {
        self.untold
    }

    /// Waits for the next write, after [`LogWatch::may_rest`] said yes. Nothing is lost when this
    /// is dropped and called again.
    pub(crate) async fn written(&mut self) {
        match &mut self.kernel {
            Some(kernel) => kernel.written().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    //! inotify(7), one event for each time that it is asked: a busy log must not fill its queue.

    use futures::StreamExt;
    use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
    use std::path::{Path, PathBuf};

    /// Room for some events; those of a watch of one file have no name.
    type Buffer = [u8; 512];

    pub(super) struct Watch {
        log: PathBuf,
        events: EventStream<Buffer>,
        armed: Option<WatchDescriptor>,
    }

    impl std::fmt::Debug for Watch {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.debug_struct("Watch").field("log", &self.log).finish_non_exhaustive()
        }
    }

    impl Watch {
        /// Nothing if the kernel gives this user no more of them.
        pub(super) fn new(log: &Path) -> Option<Self> {
            let events = Inotify::init().and_then(|made| made.into_event_stream([0; 512])).ok()?;
            Some(Self { log: log.to_owned(), events, armed: None })
        }

        pub(super) fn is_armed(&self) -> bool {
            self.armed.is_some()
        }

        /// Asks for the next event; whether that went well.
        pub(super) fn arm(&mut self) -> bool {
            // Deleting the log, as who loses the file does, is a change of its attributes.
            let wanted = WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::ONESHOT;
            self.armed = self.events.watches().add(&self.log, wanted).ok();
            self.is_armed()
        }

        pub(super) async fn written(&mut self) {
            while let (Some(armed), Some(event)) = (&self.armed, self.events.next().await) {
                // An earlier watch is told to be over, after its one event.
                let ours = event.as_ref().map_or(true, |event| {
                    event.wd == *armed || event.mask.contains(EventMask::Q_OVERFLOW)
                });
                if ours {
                    self.armed = None;
                    return;
                }
            }
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    //! Elsewhere nobody tells: the log is looked at.

    use std::path::Path;

    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) fn new(_: &Path) -> Option<Self> {
            None
        }

        pub(super) fn is_armed(&self) -> bool {
            false
        }

        pub(super) fn arm(&mut self) -> bool {
            false
        }

        pub(super) async fn written(&mut self) {
            std::future::pending().await
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;

    /// A log, and a watch of it that has seen all there is.
    fn watched() -> anyhow::Result<(tempfile::TempDir, std::fs::File, LogWatch)> {
        let folder = tempfile::tempdir()?;
        let mut log = std::fs::File::create(folder.path().join("file.db-wal"))?;
        log.write_all(b"one")?;
        let mut watch = LogWatch::of(&folder.path().join("file.db"));
        while watch.moved() {
            std::thread::yield_now();
        }
        Ok((folder, log, watch))
    }

    #[tokio::test]
    async fn every_write_wakes_who_rests() -> anyhow::Result<()> {
        let (_folder, mut log, mut watch) = watched()?;
        for _ in 0..3 {
            anyhow::ensure!(watch.may_rest());
            log.write_all(b"more")?;
            watch.written().await;
            anyhow::ensure!(watch.moved());
            while watch.moved() {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_write_just_before_resting_is_not_slept_through() -> anyhow::Result<()> {
        let (_folder, mut log, mut watch) = watched()?;
        log.write_all(b"more")?;
        anyhow::ensure!(!watch.may_rest() && watch.has_untold());
        anyhow::ensure!(watch.moved() && !watch.has_untold());
        Ok(())
    }

    #[tokio::test]
    async fn a_log_that_is_deleted_wakes_who_rests() -> anyhow::Result<()> {
        let (folder, _log, mut watch) = watched()?;
        anyhow::ensure!(watch.may_rest());
        std::fs::remove_file(folder.path().join("file.db-wal"))?;
        watch.written().await;
        anyhow::ensure!(watch.moved());
        Ok(())
    }
}
