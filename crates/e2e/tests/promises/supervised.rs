//! Workers come when there is work and go when there is none, and never outlive their supervisor.

use anyhow::Context;
use printmill_testkit::log::{Line, Log};
use printmill_testkit::node::kill_process;
use printmill_testkit::{Node, Place, Shop};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

/// The process that a line of the supervisor's log is about.
fn worker(line: &Line) -> Option<u32> {
    line.field("worker")?.as_u64().and_then(|pid| pid.try_into().ok())
}

/// The workers that the log says this of, each once for each time.
fn workers(log: &Log, message: &str) -> Vec<u32> {
    let lines = log.lines().into_iter().filter(|line| line.message() == message);
    lines.filter_map(|line| worker(&line)).collect()
}

/// Waits for what the log says from a place on; the next place, and the worker.
async fn until(log: &Log, from: usize, message: &str) -> anyhow::Result<(usize, u32)> {
    let found = log.wait_for(from, LIMIT, |line| line.message() == message).await;
    let (next, line) = found.with_context(|| format!("no '{message}' in {}", log.text()))?;
    Ok((next, worker(&line).with_context(|| format!("no worker in {}", line.value))?))
}

/// A node that serves and dispatches, and starts workers with these settings.
async fn supervising(place: &Place, settings: &[&str]) -> anyhow::Result<Node> {
    let mut arguments = vec!["serve", "--roles", "api,dispatcher,supervisor"];
    arguments.extend(settings);
    let node = Node::spawn(place, &arguments)?;
    node.wait_until_serving(place).await?;
    Ok(node)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_with_a_backlog_and_all_go_when_it_is_done() -> anyhow::Result<()> {
    let place = Place::new()?;
    // Two at most, whatever machine this is; tickets should begin within a second.
    let settings = ["--workers-max", "2", "--target-wait-seconds", "1"];
    let node = supervising(&place, &settings).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    assert!(workers(&node.log, "worker started").is_empty(), "nothing is to be done");
    let facilities = crate::run_facilities(&place)?;
    // Each picture is uploaded and then inspected by a worker, of which there is none yet.
    let photos = shop.upload_photos(&place.beside("photos"), 3).await?;
    let print = shop.photobook(photos, 24).await?;
    let mut orders = vec![];
    for number in 0..6 {
        orders.push(shop.order(&print.id, &format!("order {number}")).await?);
    }
    for order in orders {
        shop.shipped(&order.id, LIMIT).await?;
    }
    drop(facilities);
    let mut seen = 0;
    for number in 1.. {
        seen = until(&node.log, seen, "worker ended").await?.0;
        if number == workers(&node.log, "worker started").len() {
            break;
        }
    }
    let started = workers(&node.log, "worker started");
    assert!((1..=2).contains(&started.len()), "{started:?} came: {}", node.log.text());
    // All of them left because they were idle, and nobody was taken anything out of the hands.
    assert!(workers(&node.log, "worker died").is_empty(), "{}", node.log.text());
    let outcomes = node.log.lines().into_iter().filter(|line| line.message() == "ticket settled");
    let outcomes: Vec<_> = outcomes.filter_map(|line| line.field("outcome").cloned()).collect();
    assert!(outcomes.len() >= 3 + 6, "the workers' log is the node's: {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome == "done"), "{outcomes:?}");
    assert_eq!(node.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_a_supervisor_that_is_killed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = supervising(&place, &["--workers-min", "2", "--workers-max", "2"]).await?;
    let (next, first) = until(&node.log, 0, "worker ready").await?;
    let (_, second) = until(&node.log, next, "worker ready").await?;
    assert_ne!(first, second);
    let log = node.log.clone();
    node.kill()?;
    // The log ends when the last process is gone that writes to it.
    let gone = tokio::time::timeout(LIMIT, log.finished()).await;
    gone.with_context(|| format!("{first} and {second} are still there: {}", log.text()))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_replaced_and_one_that_is_asked_to_stop_drains() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let node = supervising(&place, &["--workers-min", "1", "--workers-max", "1"]).await?;
    let (next, first) = until(&node.log, 0, "worker ready").await?;
    kill_process(first)?;
    let (next, dead) = until(&node.log, next, "worker died").await?;
    let (_, second) = until(&node.log, next, "worker ready").await?;
    assert_eq!(dead, first);
    assert_ne!(second, first);
    let log = node.log.clone();
    assert_eq!(node.stop().await?, 0);
    log.finished().await;
    assert_eq!(workers(&log, "worker ended"), [second], "{}", log.text());
    Ok(())
}
