//! Kills and stops of workers, dispatchers and nodes at random moments under load: nothing is
//! lost, nothing happens twice, and what a dead process held runs again soon.
//!
//! `PRINTMILL_CHAOS_KILLS=200` strikes more often.

use crate::run_facilities;
use printmill_testkit::log::{Line, Log};
use printmill_testkit::shop::order_request;
use printmill_testkit::{Chance, Node, Place, Shop, history};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often to strike, unless the environment says otherwise.
const STRIKES: usize = 20;
/// The api comes first: it makes the database.
const SEATS: [&str; 6] = ["api", "dispatcher", "dispatcher", "worker", "worker", "worker"];
/// The longest time between two strikes. A ticket whose workers die five times is given up, so
/// work must mostly be faster than this.
const PEACE: Duration = Duration::from_secs(6);
/// Orders that are placed between two strikes.
const ORDERS: usize = 2;
/// How long a process stands still: longer than its leases last.
const STILL: Duration = Duration::from_secs(12);
/// From the strike to the handler starting again.
const RESTART_LIMIT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Kill,
    Stop,
    KillAll,
}

/// A process that is started again whenever it was killed.
struct Seat {
    roles: &'static str,
    node: Node,
    still_since: Option<Instant>,
}

/// A strike, and the tickets that were in work there.
struct Strike {
    way: Way,
    at: Instant,
    held: BTreeSet<String>,
}

/// All processes, what they logged and what befell them.
struct Fleet {
    seats: Vec<Seat>,
    logs: Vec<Log>,
    strikes: Vec<Strike>,
}

fn ticket(line: &Line) -> Option<String> {
    line.field("id").and_then(|id| id.as_str()).map(str::to_owned)
}

/// The tickets that a process has started and not settled.
fn in_work(log: &Log) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for line in log.lines() {
        match (line.message(), ticket(&line)) {
            ("ticket started", Some(id)) => drop(held.insert(id)),
            ("ticket settled", Some(id)) => drop(held.remove(&id)),
            _ => {}
        }
    }
    held
}

impl Fleet {
    async fn start(place: &Place) -> anyhow::Result<Self> {
        let mut fleet = Self { seats: vec![], logs: vec![], strikes: vec![] };
        for roles in SEATS {
            let node = Node::serve(place, roles).await?;
            fleet.logs.push(node.log.clone());
            fleet.seats.push(Seat { roles, node, still_since: None });
        }
        Ok(fleet)
    }

    async fn strike(&mut self, place: &Place, chance: &mut Chance) -> anyhow::Result<()> {
        self.wake(STILL)?;
        let drawn = chance.below(100);
        if drawn < 5 {
            return self.kill(place, Way::KillAll, &(0..SEATS.len()).collect::<Vec<_>>()).await;
        }
        let still = self.seats.iter().any(|seat| seat.still_since.is_some());
        let stops = drawn < 25 && !still;
        let fits = |seat: &Seat| seat.still_since.is_none() && !(stops && seat.roles == "api");
        let fitting = (0..SEATS.len()).filter(|index| fits(&self.seats[*index]));
        let fitting: Vec<usize> = fitting.collect();
        // Workers are struck more often than there are of them: they hold what can be lost.
        let workers = fitting.iter().filter(|index| self.seats[**index].roles == "worker");
        let weighted: Vec<usize> = workers.chain(&fitting).copied().collect();
        let victim = weighted[usize::try_from(chance.below(weighted.len() as u64))?];
        if !stops {
            return self.kill(place, Way::Kill, &[victim]).await;
        }
        let seat = &mut self.seats[victim];
        seat.node.pause()?;
        let at = Instant::now();
        seat.still_since = Some(at);
        self.strikes.push(Strike { way: Way::Stop, at, held: in_work(&seat.node.log) });
        Ok(())
    }

    /// Lets processes go on that stood still for so long.
    fn wake(&mut self, still: Duration) -> anyhow::Result<()> {
        for seat in &mut self.seats {
            if seat.still_since.is_some_and(|since| since.elapsed() >= still) {
                seat.node.unpause()?;
                seat.still_since = None;
            }
        }
        Ok(())
    }

    /// Kills these, all before any is started again.
    async fn kill(&mut self, place: &Place, way: Way, victims: &[usize]) -> anyhow::Result<()> {
        let at = Instant::now();
        let mut held = BTreeSet::new();
        for victim in victims {
            self.seats[*victim].node.kill_now()?;
        }
        for victim in victims {
            let log = self.seats[*victim].node.log.clone();
            log.finished().await;
            held.extend(in_work(&log));
        }
        self.strikes.push(Strike { way, at, held });
        for victim in victims {
            let seat = &mut self.seats[*victim];
            seat.node = Node::serve(place, seat.roles).await?;
            seat.still_since = None;
            self.logs.push(seat.node.log.clone());
        }
        Ok(())
    }

    /// How long it took after strikes of each way until the handlers ran again of tickets that
    /// were held. Those whose effect was there already never run again.
    fn restarts(&self) -> BTreeMap<Way, Vec<Duration>> {
        let mut starts: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
        for line in self.logs.iter().flat_map(Log::lines) {
            if let ("ticket started", Some(id)) = (line.message(), ticket(&line)) {
                starts.entry(id).or_default().push(line.at);
            }
        }
        let mut restarts: BTreeMap<Way, Vec<Duration>> = BTreeMap::new();
        for strike in &self.strikes {
            let of_way = restarts.entry(strike.way).or_default();
            for starts in strike.held.iter().filter_map(|id| starts.get(id)) {
                let again = starts.iter().filter_map(|at| at.checked_duration_since(strike.at));
                of_way.extend(again.min());
            }
        }
        restarts.values_mut().for_each(|times| times.sort());
        restarts
    }

    fn print(&self, restarts: &BTreeMap<Way, Vec<Duration>>) {
        println!(
            "{:<8} {:>7} {:>7} {:>8} {:>8} {:>8}",
            "way", "strikes", "again", "p50", "p99", "max"
        );
        for (way, times) in restarts {
            let strikes = self.strikes.iter().filter(|strike| strike.way == *way).count();
            let show = |time: Duration| format!("{:.2} s", time.as_secs_f64());
            let [p50, p99, max] = [50, 99, 100].map(|percent| show(percentile(times, percent)));
            let (way, again) = (format!("{way:?}"), times.len());
            println!("{way:<8} {strikes:>7} {again:>7} {p50:>8} {p99:>8} {max:>8}");
        }
    }
}

/// Of sorted times; nothing of none.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

/// Places an order, with the same request id until it is answered.
async fn place_order(shop: Shop, print: String, number: usize) -> anyhow::Result<String> {
    let mut request = order_request(&print, &format!("order {number}"));
    request.request_id = format!("request-{number}");
    loop {
        match shop.client.create_order(request.clone()).await {
            Ok(order) => return Ok(order.id),
            Err(error) if error.retryable => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_struck_nothing_is_lost_or_twice_and_work_goes_on_soon() -> anyhow::Result<()> {
    let mut chance = Chance::from_environment("chaos");
    let wanted = std::env::var("PRINTMILL_CHAOS_KILLS").ok();
    let strikes = wanted.map_or(Ok(STRIKES), |wanted| wanted.parse())?;
    let place = Place::new()?;
    let mut fleet = Fleet::start(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let _facilities = run_facilities(&place)?;
    let picture = shop.upload_slow_picture(&place.beside("slow.png"), 2_000).await?;
    let print = shop.photobook(vec![picture], 24).await?.id;

    let mut placing = JoinSet::new();
    for _ in 0..strikes {
        for _ in 0..ORDERS {
            placing.spawn(place_order(shop.clone(), print.clone(), placing.len()));
        }
        chance.any_moment(PEACE).await;
        fleet.strike(&place, &mut chance).await?;
    }
    let placed = placing.len();
    fleet.wake(Duration::ZERO)?;
    while let Some(order) = placing.join_next().await {
        let order = shop.shipped(&order??, LIMIT).await?;
        history::check_shipped(&shop.client, &order).await?;
    }
    history::check_all_once(&shop.client, placed).await?;

    let restarts = fleet.restarts();
    fleet.print(&restarts);
    let mut times: Vec<Duration> = restarts.into_values().flatten().collect();
    times.sort();
    assert!(!times.is_empty(), "no strike hit work");
    let slowest = percentile(&times, 99);
    assert!(slowest <= RESTART_LIMIT, "{slowest:?} is too long");
    Ok(())
}
