//! What machine it was measured on.

use std::io::Write;
use std::time::Instant;

/// Prints the processor, cores, memory, kernel, and how long an fdatasync takes here.
pub(crate) fn print() -> anyhow::Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default().to_owned();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    println!(
        "Machine: {}, {cores} cores, {}, Linux {}; fdatasync of 4 KiB: p50 {:.2} ms\n",
        model.map_or("unknown processor", |(_, name)| name),
        memory.split_whitespace().collect::<Vec<_>>().join(" "),
        kernel.trim(),
        fdatasync_ms()?,
    );
    Ok(())
}

fn fdatasync_ms() -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut times = vec![];
    for _ in 0..100 {
        file.write_all(&[7; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[50])
}
