//! Running cases one after the other: bounded, watched, and tried once more when they fail.

use super::report::{CaseReport, Ending};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use printmill_conformance::{Case, Subject};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a case may take.
const CASE_LIMIT: Duration = Duration::from_secs(60);
/// How long all cases of a backend may take.
const LIMIT: Duration = Duration::from_secs(300);
/// The longest text that is shown of a failure, in characters.
const DETAIL_MAX: usize = 600;

/// Who watches, and may stop it.
pub(super) struct Watch {
    pub(super) stop: CancellationToken,
    bar: ProgressBar,
}

impl Watch {
    /// Shows a line that moves, where there is a terminal and it is wanted.
    pub(super) fn new(stop: CancellationToken, shown: bool) -> Self {
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} cases, {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.set_message("opening the backends");
        Self { stop, bar }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Runs the cases that apply and are safe. `make` gives each its subject, `tidy` puts away what it
/// left.
pub(super) async fn run<T: ?Sized + Send + Sync + 'static>(
    setting: &'static str,
    cases: Vec<Case<T>>,
    watch: &Watch,
    make: impl Fn() -> Subject<T>,
    tidy: impl AsyncFn(),
) -> Vec<CaseReport> {
    let cases: Vec<_> =
        cases.into_iter().filter(|case| case.applies() && case.safe().is_some()).collect();
    watch.bar.inc_length(cases.len() as u64);
    let began = Instant::now();
    let mut reports = vec![];
    for case in &cases {
        watch.bar.set_message(format!("{setting}: {}", case.name()));
        let ending = match () {
            () if watch.stop.is_cancelled() => Ending::NotRun("it was stopped".into()),
            () if began.elapsed() > LIMIT => {
                Ending::NotRun(format!("the others took more than {} s", LIMIT.as_secs()))
            }
            () => twice(case, watch, &make, &tidy).await,
        };
        reports.push(CaseReport { name: case.name(), ending });
        watch.bar.inc(1);
    }
    reports
}

/// A far store may answer too late for a case that counts in tenths of a second, once.
async fn twice<T: ?Sized + Send + Sync + 'static>(
    case: &Case<T>,
    watch: &Watch,
    make: &impl Fn() -> Subject<T>,
    tidy: &impl AsyncFn(),
) -> Ending {
    let first = once(case, watch, make()).await;
    tidy().await;
    let Ending::Failed(why) = first else { return first };
    if watch.stop.is_cancelled() {
        return Ending::Failed(why);
    }
    let second = once(case, watch, make()).await;
    tidy().await;
    match second {
        Ending::Passed => Ending::PassedAgain(why),
        other => other,
    }
}

async fn once<T: ?Sized>(case: &Case<T>, watch: &Watch, subject: Subject<T>) -> Ending {
    let ended = tokio::time::timeout(CASE_LIMIT, case.run(subject));
    tokio::select! {
        ended = ended => match ended {
            Ok(Ok(())) => Ending::Passed,
            Ok(Err(error)) => Ending::Failed(short(&format!("{error:#}"))),
            Err(_) => Ending::Failed(format!("it took more than {} s", CASE_LIMIT.as_secs())),
        },
        () = watch.stop.cancelled() => Ending::NotRun("it was stopped".into()),
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DETAIL_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_adapter_memory::MemoryQueue;
    use printmill_backend::Queue;
    use printmill_conformance::{OwnLanes, queue_cases};
    use std::sync::Arc;

    #[tokio::test]
    async fn safe_cases_leave_nothing_in_a_queue_and_see_nothing_of_others() {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let lanes = Arc::new(OwnLanes::new(queue.clone(), "check-1"));
        let make = || Subject::of(lanes.clone() as Arc<dyn Queue>);
        let watch = Watch::new(CancellationToken::new(), false);
        let cases = queue_cases(&make()).unwrap();
        let tidy = async || assert_eq!(lanes.tidy(Duration::from_secs(5)).await, 0);
        let reports = run("queue", cases, &watch, make, tidy).await;
        assert!(reports.len() > 30, "{reports:?}");
        assert!(reports.iter().all(|report| report.ending == Ending::Passed), "{reports:?}");
        let used = lanes.lanes();
        assert!(!used.is_empty() && used.iter().all(|lane| lane.as_str().starts_with("check-1-")));
        for lane in used {
            assert_eq!(queue.stats(&lane).await.unwrap().total(), 0, "{lane}");
        }
    }

    #[tokio::test]
    async fn what_is_stopped_runs_no_further_case() {
        let watch = Watch::new(CancellationToken::new(), false);
        watch.stop.cancel();
        let make = || Subject::queue(MemoryQueue::new());
        let cases = queue_cases(&make()).unwrap();
        let reports = run("queue", cases, &watch, make, async || ()).await;
        assert!(reports.iter().all(|report| matches!(report.ending, Ending::NotRun(_))));
    }

    #[test]
    fn long_failures_are_cut_between_letters() {
        assert_eq!(short("a\n  b"), "a b");
        assert_eq!(short(&"é".repeat(1_000)).chars().count(), DETAIL_MAX + 1);
    }
}
