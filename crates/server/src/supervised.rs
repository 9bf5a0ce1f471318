//! A worker that a supervisor started: it tells what it does on its standard output, and leaves
//! when its standard input says so or ends.
//!
//! A line on standard input, `retire`, asks it to take nothing new and to finish what it holds,
//! however long that takes. The end of standard input means that the supervisor is gone, or wants
//! it gone: then it drains as on a signal. So it cannot outlive its supervisor, however that ends.

use printmill_engine::worker::{Activity, Watcher};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a supervisor writes to retire a worker.
pub(crate) const RETIRE: &str = "retire";
/// Between two reports, so that many short tickets cost little.
const REPORT_PAUSE: Duration = Duration::from_millis(20);
/// Tickets that are told of in one report; of more, the first are left out.
const DONE_MAX: usize = 32;

/// What a worker tells its supervisor, as a line of JSON; the first one when it begins to serve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Tickets in its hands now.
    pub(crate) in_work: u64,
    /// Tickets that it did since the last report.
    pub(crate) done: VecDeque<Done>,
    /// Whether it leaves by itself, since the machine will be taken away.
    #[serde(default)]
    pub(crate) leaving: bool,
}

/// A ticket that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Its lane.
    pub(crate) lane: String,
    /// Its kind.
    pub(crate) kind: String,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// The supervisor of this process, as seen from here. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Parent {
    /// Cancelled when it retires this worker.
    pub(crate) retired: CancellationToken,
    next: Arc<(Mutex<Next>, Condvar)>,
}

/// The next report.
#[derive(Default)]
struct Next {
    report: Report,
    news: bool,
}

impl Parent {
    /// Listens to the supervisor on standard input; its end cancels `gone`.
    pub(crate) fn listen(gone: CancellationToken) -> Self {
        let retired = CancellationToken::new();
        let parent = Self { retired: retired.clone(), next: Arc::default() };
        // A thread of its own, which the end of the process does not wait for.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if line == RETIRE {
                    retired.cancel();
                }
            }
            gone.cancel();
        });
        parent
    }

    /// Begins to report; what it gives is told of all work.
    pub(crate) fn report(&self) -> Watcher {
        let next = self.next.clone();
        lock(&next.0).news = true;
        let writer = next.clone();
        std::thread::spawn(move || write_reports(&writer.0, &writer.1));
        Arc::new(move |activity| {
            let mut state = lock(&next.0);
            state.news = true;
            match activity {
                Activity::Begun(_) => state.report.in_work += 1,
                Activity::Ended { ticket, outcome, took } => {
                    state.report.in_work = state.report.in_work.saturating_sub(1);
                    if outcome == "done" {
                        if state.report.done.len() == DONE_MAX {
                            state.report.done.pop_front();
                        }
                        state.report.done.push_back(Done {
                            lane: ticket.lane.to_string(),
                            kind: ticket.kind.clone(),
                            seconds: took.as_secs_f64(),
                        });
                    }
                }
            }
            next.1.notify_one();
        })
    }
}

impl Parent {
    /// Tells the supervisor that this worker leaves by itself: the machine will be taken away.
    pub(crate) fn say_leaving(&self) {
        let mut state = lock(&self.next.0);
        state.report.leaving = true;
        state.news = true;
        self.next.1.notify_one();
    }
}

/// Writes what is new, until nobody reads it any more. A supervisor that stands still holds up this
/// thread and no work.
fn write_reports(next: &Mutex<Next>, news: &Condvar) {
    loop {
        let report = {
            let waited = news.wait_while(lock(next), |next| !next.news);
            let mut state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
            state.news = false;
            let Report { in_work, leaving, .. } = state.report;
            std::mem::replace(&mut state.report, Report { in_work, leaving, ..Report::default() })
        };
        let Ok(text) = serde_json::to_string(&report) else { return };
        // Not `println!`, which panics when nobody reads.
        if writeln!(std::io::stdout().lock(), "{text}").is_err() {
            return;
        }
        // What happens within the pause comes in one report.
        drop(news.wait_timeout_while(lock(next), REPORT_PAUSE, |_| true));
    }
}

fn lock(next: &Mutex<Next>) -> MutexGuard<'_, Next> {
    next.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
