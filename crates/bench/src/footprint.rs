//! Start-up time, and memory and processor time of an idle all-in-one node.

use crate::ground::{Ground, On};
use crate::table;
use clap::Args;
use printmill_testkit::{Node, Place};
use std::time::{Duration, Instant};

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long to watch the idle node, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often to start it.
    #[arg(long, default_value_t = 20)]
    starts: usize,
    /// What it runs on. On servers, each role is a process of its own.
    #[arg(long, value_enum, default_value = "local")]
    on: On,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 20, starts: 20, on: On::Local }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    if options.on != On::Local {
        return by_role(options).await;
    }
    let mut starts = table::Times::default();
    let place = Place::new()?;
    for _ in 0..options.starts {
        let begun = Instant::now();
        let node = Node::up(&place).await?;
        starts.push(begun.elapsed());
        node.stop().await?;
    }
    let node = Node::up(&place).await?;
    // For five seconds after its last commit it expects more.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (cpu, begun) = (node.cpu_time()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let share = (node.cpu_time()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let (resident, most) = node.memory_kib()?;
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    table::print(
        "All-in-one node, idle",
        &["what", "measured", "goal"],
        &[
            vec!["resident memory".into(), mib(resident), "≤ 40 MiB".into()],
            vec!["most ever resident".into(), mib(most), String::new()],
            vec!["processor time".into(), format!("{share:.2} % of a core"), "≈ 0".into()],
            vec![
                "start to serving, p50".into(),
                format!("{:.0} ms", starts.quantile_ms(0.5)),
                "< 500 ms".into(),
            ],
            vec![
                format!("start to serving, slowest of {}", starts.len()),
                format!("{:.0} ms", starts.quantile_ms(1.0)),
                "< 500 ms".into(),
            ],
        ],
    );
    node.stop().await?;
    Ok(())
}

/// Each role by itself, all of them idle at the same time.
async fn by_role(options: &Options) -> anyhow::Result<()> {
    let mut ground = Ground::open(options.on)?;
    ground.place.set("PRINTMILL_SIGNING_KEY", "5e".repeat(32));
    let mut nodes = vec![];
    for role in ["api", "worker", "dispatcher"] {
        let place = ground.place.neighbour(role)?;
        let node = Node::serve(&place, role).await?;
        nodes.push((role, place, node));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begun = Instant::now();
    let before = nodes.iter().map(|(_, _, node)| node.cpu_time());
    let before = before.collect::<anyhow::Result<Vec<Duration>>>()?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let mut rows = vec![];
    for ((role, _, node), before) in nodes.iter().zip(before) {
        let cpu = (node.cpu_time()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        let (resident, most) = node.memory_kib()?;
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        rows.push(vec![
            (*role).to_owned(),
            mib(resident),
            mib(most),
            format!("{:.2} % of a core", cpu * 100.0),
        ]);
    }
    table::print(
        &format!("Roles by themselves on {}, idle (goal: ≤ 60 MiB each)", options.on.name()),
        &["role", "resident", "most ever", "processor"],
        &rows,
    );
    for (_, _, node) in nodes {
        node.stop().await?;
    }
    Ok(())
}
