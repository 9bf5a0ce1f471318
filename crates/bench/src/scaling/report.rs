//! The runs as tables.

use super::{Contender, Options, Run, Scenario};
use crate::table;

const COMPARED: &[&str] = &[
    "trace",
    "policy",
    "worker-seconds",
    "cost",
    "over target",
    "busy killed",
    "spot kills",
    "started",
    "wait p50",
    "wait p99",
];

/// Prints all of them.
pub(super) fn print(runs: &[Run], options: &Options) {
    println!(
        "Target wait {} s, at most {} workers, seed {}. Cost: worker-seconds for each second of \
         work. Over target: begun, for the last time, later than that.\n",
        options.target, options.workers_max, options.seed
    );
    for (scenario, name) in [(Scenario::Calm, "all quiet"), (Scenario::SpotKills, "spot kills")] {
        for boot in &options.boot {
            let rows: Vec<_> = of(runs, scenario, *boot).map(compared).collect();
            table::print(&format!("Boot {boot} s, {name}"), COMPARED, &rows);
        }
    }
    for contender in [Contender::Printmill, Contender::AwsBacklog] {
        disturbed(runs, &options.boot, contender);
    }
}

fn of(runs: &[Run], scenario: Scenario, boot: f64) -> impl Iterator<Item = &Run> {
    runs.iter().filter(move |run| run.scenario == scenario && run.boot_seconds == boot)
}

fn compared(run: &Run) -> Vec<String> {
    vec![
        run.trace.clone(),
        run.policy.name().into(),
        format!("{:.0}", run.worker_seconds),
        format!("{:.2}×", run.cost()),
        percent(run.over_target),
        run.busy_killed.to_string(),
        run.spot_killed.to_string(),
        run.started.to_string(),
        format!("{:.0} s", run.wait_p50_seconds),
        format!("{:.0} s", run.wait_p99_seconds),
    ]
}

/// What wrong estimates do to one policy.
fn disturbed(runs: &[Run], boots: &[f64], contender: Contender) {
    let scenarios = Scenario::ALL
        .into_iter()
        .filter(|scenario| *scenario != Scenario::SpotKills && scenario.concerns(contender));
    let scenarios: Vec<_> = scenarios.collect();
    let header =
        ["boot", "trace"].into_iter().chain(scenarios.iter().map(|scenario| match scenario {
            Scenario::GuessTooShort => "guess a quarter",
            Scenario::GuessTooLong => "guess four times",
            Scenario::NoSizes => "sizes tell nothing",
            Scenario::CountersOnly => "counters only",
            Scenario::Calm | Scenario::SpotKills => "right guess",
        }));
    let mut rows = vec![];
    for boot in boots {
        let traces = of(runs, Scenario::Calm, *boot).filter(|run| run.policy == contender);
        for calm in traces {
            let cells = scenarios.iter().filter_map(|scenario| {
                let found = of(runs, *scenario, *boot)
                    .find(|run| run.policy == contender && run.trace == calm.trace)?;
                Some(format!("{:.2}×, {}", found.cost(), percent(found.over_target)))
            });
            rows.push([format!("{boot} s"), calm.trace.clone()].into_iter().chain(cells).collect());
        }
    }
    let title = format!("{}, when estimates are wrong: cost, over target", contender.name());
    table::print(&title, &header.collect::<Vec<_>>(), &rows);
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
