//! Measures the queue: messages per second that are sent, leased and acknowledged, and how fast
//! it counts with many messages parked.
//!
//! `cargo run --release -p printmill-adapter-sql --example queue_rates -- [workers] [seconds] [parked]`

use anyhow::{Context, Result};
use printmill_adapter_sql::SqlQueue;
use printmill_backend::Queue;
use printmill_backend::queue::Message;
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::lane::Lane;
use std::time::{Duration, Instant};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

fn message(delay: Duration) -> Message {
    let trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    Message { ticket: TicketId::from_uuid(Uuid::now_v7()), trace, delay }
}

async fn send(queue: &SqlQueue, lane: &Lane, count: usize, delay: Duration) -> Result<()> {
    let messages: Vec<_> = (0..count).map(|_| message(delay)).collect();
    for sent in queue.send(lane, &messages).await {
        sent?;
    }
    Ok(())
}

/// Sends a few, leases a few, acknowledges each; how many.
async fn work(queue: SqlQueue, until: Instant) -> Result<u64> {
    let mut done = 0;
    while Instant::now() < until {
        send(&queue, &Lane::express(), 8, Duration::ZERO).await?;
        for delivery in queue.lease(&Lane::express(), 8, MINUTE, Duration::ZERO).await? {
            queue.ack(&delivery.receipt).await?;
            done += 1;
        }
    }
    Ok(done)
}

/// A field of the process's status, in KiB.
fn resident() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("VmRSS")).map(str::to_owned)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map(|(_, after)| after).unwrap_or_default();
    let ticks: Vec<f64> = after.split(' ').skip(11).take(2).flat_map(str::parse).collect();
    ticks.iter().sum::<f64>() / 100.0
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let workers: usize = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let parked: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/queue.db", directory.path().display());
    let queue = SqlQueue::open(&url).await?;
    println!("opened: {}", resident().unwrap_or_default());

    let (started, cpu) = (Instant::now(), cpu_seconds());
    let until = started + Duration::from_secs(seconds);
    let running: Vec<_> = (0..workers).map(|_| tokio::spawn(work(queue.clone(), until))).collect();
    let mut done = 0;
    for task in running {
        done += task.await??;
    }
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{workers} workers: {:.0} messages/s sent, leased and acknowledged, {:.0} µs of CPU each",
        done as f64 / elapsed,
        cpu / done as f64 * 1e6
    );

    let lane = Lane::parse("parked").context("a lane")?;
    let started = Instant::now();
    for index in 0..parked / 1000 {
        let delay = if index % 2 == 0 { Duration::ZERO } else { MINUTE * 60 };
        send(&queue, &lane, 1000, delay).await?;
    }
    let each = started.elapsed() / u32::try_from(parked.max(1))?;
    let mut slowest = Duration::ZERO;
    for _ in 0..1000 {
        let started = Instant::now();
        queue.stats(&lane).await?;
        slowest = slowest.max(started.elapsed());
    }
    let started = Instant::now();
    let leased = queue.lease(&lane, 100, MINUTE, Duration::ZERO).await?.len();
    println!(
        "{:?} parked in {each:?} each; slowest of 1000 counts {slowest:?}; {leased} leased in {:?}; {}",
        queue.stats(&lane).await?,
        started.elapsed(),
        resident().unwrap_or_default()
    );

    let (empty, cpu) = (Lane::parse("empty").context("a lane")?, cpu_seconds());
    queue.lease(&empty, 1, MINUTE, Duration::from_secs(10)).await?;
    println!("10 s of waiting cost {:.0} ms of CPU", (cpu_seconds() - cpu) * 1e3);
    Ok(())
}
