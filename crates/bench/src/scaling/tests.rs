//! The simulator: nothing lost, nothing for free, and the same from the same seed.

use super::simulation::{Pool, simulate};
use super::trace::{Arrival, Trace};
use super::{Contender, Options, Scenario, one, trace};
use clap::Parser;
use std::io::Write;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn options() -> Options {
    Cli::parse_from(["bench"]).options
}

/// Short traces: what the whole ones have in their first two hours.
fn traces() -> Vec<Trace> {
    let mut traces = trace::synthetic(7).unwrap();
    for trace in &mut traces {
        trace.arrivals.retain(|arrival| arrival.at < 7200.0 + 400.0);
    }
    traces
}

#[test]
fn every_ticket_is_done_and_paid_for() {
    let options = options();
    for trace in traces() {
        for scenario in [Scenario::Calm, Scenario::SpotKills] {
            for contender in Contender::ALL {
                let run = one(&options, scenario, 60.0, &trace, contender);
                assert_eq!(run.unfinished, 0, "{run:?}");
                assert!(run.worker_seconds >= run.work_seconds, "{run:?}");
                assert!(run.started > 0 && run.workers_most > 0, "{run:?}");
                assert!(run.spot_killed == 0 || scenario == Scenario::SpotKills, "{run:?}");
                let protects = [Contender::Printmill, Contender::AwsBacklog].contains(&contender);
                assert!(!protects || run.busy_killed == 0, "{run:?}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let options = options();
    let figures = || -> Vec<String> {
        let run =
            |trace: &Trace| one(&options, Scenario::SpotKills, 5.0, trace, Contender::KedaTuned);
        traces().iter().map(|trace| serde_json::to_string(&run(trace)).unwrap()).collect()
    };
    assert_eq!(figures(), figures());
}

/// Starts one worker and no more.
struct Single(u32);

impl super::policies::Autoscaler for Single {
    fn period(&self) -> f64 {
        10.0
    }

    fn look(&mut self, _view: &super::policies::View<'_>) -> super::policies::Orders {
        let start = std::mem::take(&mut self.0);
        super::policies::Orders { start, stop: super::policies::Stop::None }
    }

    fn replaces_lost(&self) -> bool {
        false
    }
}

#[test]
fn one_worker_does_one_ticket_after_the_other() {
    let arrival = |at, duration| Arrival {
        at,
        kind: "item.render".into(),
        size: 1.0,
        duration,
        merchant: "one".into(),
    };
    let trace = Trace {
        name: "three".into(),
        arrivals: vec![arrival(1.0, 30.0), arrival(2.0, 5.0), arrival(90.0, 1.0)],
    };
    let pool = Pool { boot: 20.0, workers_max: 3, kills_per_hour: 0.0, seed: 1 };
    let outcome = simulate(&trace, &pool, &mut Single(1));
    assert_eq!(outcome.waits, [0.0, 19.0, 48.0], "booted at 20 s, free at 50 s and at 55 s");
    assert_eq!(outcome.over(19.0), 1.0 / 3.0);
    assert_eq!(outcome.worker_seconds, 3690.0, "from 0 s until an hour after the last arrival");
}

#[test]
fn a_trace_is_read_and_a_bad_one_refused() {
    let read = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        trace::read(file.path(), 2.0)
    };
    let header = "arrival,kind,size,duration,merchant\n";
    let fine =
        read(&format!("{header}7, item.render, 3, , a\n2, item.render, , 4.5, b\n")).unwrap();
    let got: Vec<_> = fine.arrivals.iter().map(|one| (one.at, one.size, one.duration)).collect();
    assert_eq!(got, [(2.0, 1.0, 4.5), (7.0, 3.0, 6.0)], "sorted; two seconds for a unit of size");
    for bad in ["", "1,a,,,m\n", "-1,a,1,1,m\n", "1,a,1,NaN,m\n", "x,a,1,1,m\n", "1,a,1,1\n"] {
        assert!(read(&format!("{header}{bad}")).is_err(), "{bad:?} was read");
    }
}
