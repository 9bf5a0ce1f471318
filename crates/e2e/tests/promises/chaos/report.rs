//! What came of all strikes: how many hit what, and how soon work went on.

use super::Sort;
use super::fleet::{Fleet, STILL, Strike, ticket};
use printmill_testkit::log::{Line, Log};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// From the strike to the handler running again.
const RESTART_LIMIT: Duration = Duration::from_secs(15);

/// What came of one sort of strikes.
#[derive(Default)]
struct Outcome {
    strikes: usize,
    /// How often they would have left a file of the database locked.
    locks: usize,
    /// How many of them hit a running handler whose work had to be done again.
    hits: usize,
    /// How long it took until those handlers ran again, sorted.
    again: Vec<Duration>,
    /// What happened to those that took too long.
    late: Vec<String>,
    /// How long it took until a ticket began that became due after the strike, without the time
    /// in which nothing could be ordered, sorted.
    fresh: Vec<Duration>,
}

/// What came of each sort.
pub(super) struct Report(BTreeMap<Sort, Outcome>);

/// All beginnings of work: when, of which ticket, and since when it had been due.
type Beginnings = Vec<(Instant, String, Instant)>;

fn beginning(line: &Line) -> Option<(Instant, String, Instant)> {
    if line.message() != "ticket started" {
        return None;
    }
    let waited = Duration::from_micros(line.field("waited_us")?.as_u64()?);
    Some((line.at, ticket(line)?, line.at.checked_sub(waited)?))
}

impl Report {
    pub(super) fn of(fleet: &Fleet) -> Self {
        let lines = fleet.logs.iter().flat_map(Log::lines);
        let mut beginnings: Beginnings = lines.filter_map(|line| beginning(&line)).collect();
        beginnings.sort();
        let mut outcomes: BTreeMap<Sort, Outcome> = BTreeMap::new();
        for strike in &fleet.strikes {
            let outcome = outcomes.entry(strike.sort).or_default();
            let again = again(strike, &beginnings);
            outcome.strikes += 1;
            outcome.locks += strike.locks;
            outcome.hits += usize::from(!again.is_empty());
            for (id, at) in again {
                outcome.again.push(at - strike.at);
                if at - strike.at > RESTART_LIMIT {
                    outcome.late.push(story(fleet, strike, &id, at));
                }
            }
            let fresh = beginnings.iter().find(|(_, _, due)| *due > strike.at);
            outcome.fresh.extend(
                fresh.map(|(at, _, _)| {
                    (*at - strike.at).saturating_sub(away(fleet, strike.at, *at))
                }),
            );
        }
        for outcome in outcomes.values_mut() {
            outcome.again.sort();
            outcome.fresh.sort();
        }
        Self(outcomes)
    }

    /// Fails when work went on too late, and when too little was hit to say so.
    pub(super) fn check(&self, strikes: usize) -> anyhow::Result<()> {
        let hits: usize = self.0.values().map(|outcome| outcome.hits).sum();
        anyhow::ensure!(2 * hits >= strikes, "only {hits} of {strikes} strikes hit a handler");
        for (sort, Outcome { strikes, hits, .. }) in &self.0 {
            let none = *hits == 0 && sort.hits_handlers() && *strikes > 1;
            anyhow::ensure!(!none, "{} never hit a handler", sort.name());
        }
        let slowest = percentile(&self.all(|_, outcome| &outcome.again), 99);
        anyhow::ensure!(slowest <= RESTART_LIMIT, "handlers ran again after {slowest:?}");
        // Without a dispatcher nothing new reaches a worker.
        let fresh = self.all(|sort, it| if sort.hits_handlers() { &[] } else { &it.fresh });
        let slowest = percentile(&fresh, 99);
        anyhow::ensure!(slowest <= RESTART_LIMIT, "without a dispatcher it took {slowest:?}");
        Ok(())
    }

    fn all<'a>(&'a self, times: impl Fn(&Sort, &'a Outcome) -> &'a [Duration]) -> Vec<Duration> {
        let all = self.0.iter().flat_map(|(sort, outcome)| times(sort, outcome));
        let mut all: Vec<Duration> = all.copied().collect();
        all.sort();
        all
    }
}

/// When the handlers ran again of tickets that were held. Those whose effect was there already
/// never run again.
fn again(strike: &Strike, beginnings: &Beginnings) -> Vec<(String, Instant)> {
    let mut again = vec![];
    for (log, held) in &strike.held {
        for id in held {
            let began = beginnings.iter().filter(|(at, of, _)| of == id && *at > strike.at);
            let began = began.map(|(at, _, _)| *at).min();
            let went_on = strike.sort.stops().then(|| went_on(log, id, strike.at)).flatten();
            again.extend(began.into_iter().chain(went_on).min().map(|at| (id.clone(), at)));
        }
    }
    again
}

/// When a handler that stood still was through with a ticket that nobody else took on.
fn went_on(log: &Log, id: &str, since: Instant) -> Option<Instant> {
    let lines = log.lines().into_iter().filter(|line| {
        let settled = line.message() == "ticket settled" && line.at >= since + STILL / 2;
        settled && ticket(line).as_deref() == Some(id)
    });
    let kept = |line: &Line| line.field("outcome").is_some_and(|outcome| outcome != "lost");
    lines.filter(kept).map(|line| line.at).min()
}

/// For how much of a time the node stood still, so that nobody could order anything.
fn away(fleet: &Fleet, from: Instant, until: Instant) -> Duration {
    let stops = fleet.strikes.iter().filter(|strike| strike.sort == Sort::StopNode);
    let spans = stops.filter_map(|stop| Some((stop.at, stop.still_until?)));
    spans.map(|(at, end)| end.min(until).saturating_duration_since(at.max(from))).sum()
}

/// What everybody said of a ticket, from when it was struck until its handler ran again.
fn story(fleet: &Fleet, strike: &Strike, id: &str, until: Instant) -> String {
    let lines = fleet.logs.iter().zip(0..).flat_map(|(log, process)| {
        let lines = log.lines().into_iter().filter(|line| line.at > strike.at && line.at <= until);
        let lines = lines.filter(|line| ticket(line).as_deref() == Some(id));
        lines.map(move |line| {
            let (after, message) = (line.at - strike.at, line.message().to_owned());
            let attempt = line.field("attempt").cloned().unwrap_or_default();
            let outcome = line.field("outcome").cloned().unwrap_or_default();
            (after, format!("{after:.1?} process {process}: {message} {attempt} {outcome}"))
        })
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    format!("{id}, struck by {}: {}", strike.sort.name(), lines.join("; "))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:>7} {:>5} {:>5} {:>5} | {:>8} {:>8} {:>8} | {:>8} {:>8}",
            "sort", "strikes", "locks", "hits", "again", "p50", "p99", "max", "new p50", "new max"
        )?;
        let mut sum = Outcome::default();
        for (sort, outcome) in &self.0 {
            outcome.row(f, sort.name())?;
            sum.strikes += outcome.strikes;
            sum.locks += outcome.locks;
            sum.hits += outcome.hits;
        }
        sum.again = self.all(|_, outcome| &outcome.again);
        sum.fresh = self.all(|_, outcome| &outcome.fresh);
        sum.row(f, "all")?;
        for late in self.0.values().flat_map(|outcome| &outcome.late) {
            writeln!(f, "late: {late}")?;
        }
        Ok(())
    }
}

impl Outcome {
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let show = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let [p50, p99, max] = [50, 99, 100].map(|it| show(percentile(&self.again, it)));
        let [new_p50, new_max] = [50, 100].map(|it| show(percentile(&self.fresh, it)));
        let Self { strikes, locks, hits, again, .. } = self;
        let again = again.len();
        write!(f, "{name:<16} {strikes:>7} {locks:>5} {hits:>5} {again:>5} | ")?;
        writeln!(f, "{p50:>8} {p99:>8} {max:>8} | {new_p50:>8} {new_max:>8}")
    }
}

/// Of sorted times; nothing of none.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}
