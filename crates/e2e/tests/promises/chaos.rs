//! Kills and stops of workers, dispatchers and nodes at random moments under load: nothing is
//! lost, nothing happens twice, and what a dead process held runs again soon.
//!
//! Strikes are aimed at processes that hold tickets. `PRINTMILL_CHAOS_KILLS=200` strikes more
//! often.

mod fleet;
mod report;

use crate::run_facilities;
use fleet::Fleet;
use printmill_client::ClientError;
use printmill_testkit::shop::order_request;
use printmill_testkit::{Chance, Place, Shop, history};
use report::Report;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often to strike, unless the environment says otherwise.
const STRIKES: usize = 20;
/// Of 20 strikes in a row so many are of each sort.
const DECK: [(Sort, usize); 7] = [
    (Sort::KillWorker, 5),
    (Sort::StopWorker, 3),
    (Sort::KillDispatcher, 2),
    (Sort::StopDispatcher, 2),
    (Sort::KillNode, 3),
    (Sort::StopNode, 2),
    (Sort::KillAll, 3),
];
/// The longest time between two strikes, if there is somebody to hit.
const PEACE: Duration = Duration::from_secs(1);
/// Orders in production at once: fewer than the workers can take, so that what waits for a worker
/// waits for its lease to end, and not for its turn.
const ORDERS: usize = 6;
const LIMIT: Duration = Duration::from_secs(240);

/// What befalls whom. A worker and a dispatcher are processes with that role alone; the node has
/// all roles, the api among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    KillWorker,
    StopWorker,
    KillDispatcher,
    StopDispatcher,
    KillNode,
    StopNode,
    /// All processes at once, as when the power fails.
    KillAll,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Sort::KillWorker => "kill worker",
            Sort::StopWorker => "stop worker",
            Sort::KillDispatcher => "kill dispatcher",
            Sort::StopDispatcher => "stop dispatcher",
            Sort::KillNode => "kill node",
            Sort::StopNode => "stop node",
            Sort::KillAll => "kill all",
        }
    }

    /// Whether the process stands still and goes on later, rather than dying.
    fn stops(self) -> bool {
        matches!(self, Sort::StopWorker | Sort::StopDispatcher | Sort::StopNode)
    }

    /// Whether those that it strikes run handlers.
    fn hits_handlers(self) -> bool {
        !matches!(self, Sort::KillDispatcher | Sort::StopDispatcher)
    }
}

/// The sorts of so many strikes, in any order, and each in its proportion.
fn deal(strikes: usize, chance: &mut Chance) -> anyhow::Result<Vec<Sort>> {
    let mut dealt = vec![];
    while dealt.len() < strikes {
        let deck = DECK.iter().flat_map(|(sort, count)| std::iter::repeat_n(*sort, *count));
        let mut deck: Vec<Sort> = deck.collect();
        while !deck.is_empty() && dealt.len() < strikes {
            dealt.push(deck.swap_remove(usize::try_from(chance.below(deck.len() as u64))?));
        }
    }
    Ok(dealt)
}

/// Places an order, with the same request id until it is answered.
async fn place_order(shop: &Shop, print: &str, reference: &str) -> anyhow::Result<String> {
    let mut request = order_request(print, reference);
    request.request_id = format!("request of {reference}");
    loop {
        match shop.client.create_order(request.clone()).await {
            Ok(order) => return Ok(order.id),
            Err(error) if error.retryable => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Orders one after the other until it is told to stop; how many there were.
async fn keep_ordering(
    shop: Shop,
    print: String,
    line: usize,
    stop: CancellationToken,
) -> anyhow::Result<usize> {
    for number in 0.. {
        if stop.is_cancelled() {
            return Ok(number);
        }
        let order = place_order(&shop, &print, &format!("order {line}/{number}")).await?;
        let shipped = async || {
            let order = shop.shipped(&order, LIMIT).await?;
            history::check_shipped(&shop.client, &order).await
        };
        // The node may be away for longer than a client tries.
        while let Err(error) = shipped().await {
            let passes = error.downcast_ref().is_some_and(|error: &ClientError| error.retryable);
            anyhow::ensure!(passes, error);
        }
    }
    Ok(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_struck_nothing_is_lost_or_twice_and_work_goes_on_soon() -> anyhow::Result<()> {
    let mut chance = Chance::from_environment("chaos");
    let seed = chance.seed;
    let wanted = std::env::var("PRINTMILL_CHAOS_KILLS").ok();
    let strikes = wanted.map_or(Ok(STRIKES), |wanted| wanted.parse())?;
    let place = Place::new()?;
    let mut fleet = Fleet::start(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let picture = shop.upload_slow_picture(&place.beside("slow.png"), 900).await?;
    let print = shop.photobook(vec![picture], 24).await?.id;

    let (stop, mut ordering) = (CancellationToken::new(), JoinSet::new());
    for line in 0..ORDERS {
        ordering.spawn(keep_ordering(shop.clone(), print.clone(), line, stop.clone()));
    }
    let mut to_come = deal(strikes, &mut chance)?;
    while !to_come.is_empty() {
        let (sort, victims) = fleet.aim(&mut to_come, PEACE, &mut chance).await?;
        fleet.strike(&place, sort, &victims, &mut chance).await?;
    }
    fleet.wake_all().await?;
    stop.cancel();
    let ordered = ordering.join_all().await;
    let report = Report::of(&fleet);
    println!("seed {seed}, {} orders\n{report}", ordered.iter().flatten().sum::<usize>());
    let ordered: Vec<usize> = ordered.into_iter().collect::<anyhow::Result<_>>()?;
    history::check_all_once(&shop.client, ordered.into_iter().sum()).await?;
    report.check(strikes)
}
