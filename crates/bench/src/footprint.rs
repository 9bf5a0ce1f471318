//! Start-up time, and memory and processor time of an idle all-in-one node.

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
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 20, starts: 20 }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut starts = table::Times::default();
    let place = Place::new()?;
    for _ in 0..options.starts {
        let begun = Instant::now();
        let node = Node::up(&place).await?;
        starts.push(begun.elapsed());
        node.stop().await?;
    }
    let node = Node::up(&place).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
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
