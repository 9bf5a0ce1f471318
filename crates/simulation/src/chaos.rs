//! Chaos: what befalls whole processes and the queue while the weather lasts.

use crate::history::What;
use crate::locked;
use crate::site::Site;
use std::sync::Arc;

enum Blow {
    Crash,
    Stall,
    Restart,
    Wipe,
}

/// Strikes until it is ended.
pub(crate) async fn rage(site: Arc<Site>) {
    let weather = &site.weather;
    let weights = [
        (weather.crashes, Blow::Crash),
        (weather.stalls, Blow::Stall),
        (weather.restarts, Blow::Restart),
        (weather.wipes, Blow::Wipe),
    ];
    let all: u64 = weights.iter().map(|(weight, _)| weight).sum();
    if all == 0 {
        return;
    }
    loop {
        tokio::time::sleep(site.chance.millis(100..=weather.peace_ms)).await;
        let mut drawn = site.chance.between(0..=all - 1);
        for (weight, blow) in &weights {
            if drawn < *weight {
                strike(&site, blow);
                break;
            }
            drawn -= weight;
        }
    }
}

fn strike(site: &Arc<Site>, blow: &Blow) {
    let process = site.chance.pick(&locked(&site.processes)).cloned();
    match (blow, process) {
        (Blow::Crash, Some(process)) => process.die(),
        // Leases last 10 s: some stalls are shorter, some longer.
        (Blow::Stall, Some(process)) => process.stall(site.chance.millis(1_000..=40_000)),
        (Blow::Restart, Some(process)) => {
            process.note("is asked to leave".into());
            process.leaving.cancel();
        }
        (Blow::Wipe, _) => {
            let lanes = site.broker.lanes();
            let lane = if site.chance.strikes(500) { None } else { site.chance.pick(&lanes) };
            site.broker.wipe(lane);
            site.record("queue", What::Note(format!("forgets {lane:?}")));
        }
        (_, None) => {}
    }
}
