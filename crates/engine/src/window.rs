//! How many tickets of a lane are with the queue at once: enough that no worker waits, and few,
//! since their order can no longer be changed there.

use std::time::Duration;
use tokio::time::Instant;

const AT_FIRST: usize = 64;
const LEAST: usize = 8;
const MOST: usize = 8_192;
/// A window that stays more than half full for so long is more than the workers need.
const SLOW: Duration = Duration::from_secs(5);

/// The window of one lane. It doubles when the queue has almost run dry while more waits, and
/// halves when the workers take long for it.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    /// Whether it was filled the last time, so that it could have run dry since.
    filled: bool,
    /// Since when it has been more than half full.
    full_since: Option<Instant>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { size: AT_FIRST, filled: false, full_since: None }
    }

    /// How many more may be sent, when so many are with the queue and so many wait. None, until a
    /// quarter of the window is free: to look whose turn it is costs something.
    pub(crate) fn room(&mut self, with_queue: usize, waiting: usize, now: Instant) -> usize {
        if with_queue <= self.size / 2 {
            self.full_since = None;
            if with_queue <= self.size / 4 && waiting > self.size - with_queue && self.filled {
                self.size = (self.size * 2).min(MOST);
            }
        } else if now - *self.full_since.get_or_insert(now) >= SLOW {
            self.size = (self.size / 2).max(LEAST);
            self.full_since = Some(now);
        }
        let room = self.size.saturating_sub(with_queue);
        self.filled = waiting >= room;
        if room >= self.size / 4 { room } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_the_workers_are_faster_and_shrinks_while_they_are_slower() {
        let mut window = Window::new();
        let mut now = Instant::now();
        assert_eq!(window.room(0, 10, now), AT_FIRST, "nobody needs more");
        for _ in 0..20 {
            window.room(0, 100_000, now);
        }
        assert_eq!(window.size, MOST);
        let mut with_queue = MOST;
        for _ in 0..200 {
            now += Duration::from_secs(1);
            with_queue += window.room(with_queue, 100_000, now).min(1);
            with_queue -= 1;
        }
        assert!(window.size <= MOST / 2, "{}", window.size);
        for _ in 0..200 {
            now += Duration::from_secs(1);
            window.room(window.size, 100_000, now);
        }
        assert_eq!(window.size, LEAST);
        assert_eq!(window.room(LEAST, 100, now), 0);
    }
}
