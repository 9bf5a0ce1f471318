//! SIGKILL of the worker mid-render: the ticket moves on, and its effect happens once.

use crate::run_facilities;
use anyhow::Context;
use printmill_testkit::log::Line;
use printmill_testkit::{Chance, Node, Place, Shop, history};
use std::time::{Duration, Instant};

/// Kills, spread over this many nodes at the same time.
const KILLS: usize = 50;
const NODES: usize = 10;
/// From the kill to the handler starting again.
const RESTART_LIMIT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(90);

fn render_started(line: &Line) -> bool {
    line.message() == "ticket started"
        && line.field("kind").is_some_and(|kind| kind == "item.render")
}

/// Kills the worker in the middle of renderings, so and so often; how long each took to start
/// again.
async fn kill_again_and_again(mut chance: Chance, kills: usize) -> anyhow::Result<Vec<Duration>> {
    let place = Place::new()?;
    let _rest = Node::serve(&place, "api,dispatcher").await?;
    let mut worker = Node::serve(&place, "worker").await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let picture = shop.upload_slow_picture(&place.beside("slow.png"), 2_000).await?;
    let print = shop.photobook(vec![picture], 24).await?;
    let mut restarts = vec![];
    for attempt in 0.. {
        anyhow::ensure!(attempt < kills * 10, "renderings end before they can be killed");
        let seen = worker.log.lines().len();
        let order = shop.order(&print.id, &format!("kill {attempt}")).await?;
        let started = worker.log.wait_for(seen, LIMIT, render_started).await;
        let (seen, _) = started.with_context(|| worker.log.text())?;
        chance.any_moment(Duration::from_millis(250)).await;
        let log = worker.log.clone();
        worker.kill()?;
        let killed = Instant::now();
        worker = Node::serve(&place, "worker").await?;
        let settled = |line: &Line| line.message() == "file rendered";
        if !log.lines().iter().skip(seen).any(settled) {
            let started = worker.log.wait_for(0, LIMIT, render_started).await;
            let (_, line) = started.with_context(|| worker.log.text())?;
            restarts.push(line.at.duration_since(killed));
        }
        let order = shop.shipped(&order.id, LIMIT).await?;
        history::check_shipped(&shop.client, &order).await?;
        if restarts.len() == kills {
            break;
        }
    }
    Ok(restarts)
}

#[tokio::test(flavor = "multi_thread")]
async fn mid_render_the_ticket_starts_again_and_has_its_effect_once() -> anyhow::Result<()> {
    let mut chance = Chance::from_environment("worker_killed");
    let nodes: Vec<_> = (0..NODES)
        .map(|_| tokio::spawn(kill_again_and_again(chance.fork(), KILLS / NODES)))
        .collect();
    let mut restarts = vec![];
    for node in nodes {
        restarts.extend(node.await??);
    }
    restarts.sort();
    assert_eq!(restarts.len(), KILLS);
    let (median, slowest) = (restarts[KILLS / 2], restarts[KILLS - 1]);
    println!("{KILLS} kills: started again after {median:?} (median), {slowest:?} (slowest)");
    // Of 50 kills the 99th percentile is the slowest.
    assert!(slowest <= RESTART_LIMIT, "{slowest:?} is too long");
    Ok(())
}
