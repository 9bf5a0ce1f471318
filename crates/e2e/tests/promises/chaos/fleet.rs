//! All processes under test, who of them is struck, and what they held then.

use super::Sort;
use futures::future::{FutureExt, select_all};
use printmill_testkit::log::{Line, Log};
use printmill_testkit::{Chance, Node, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The node comes first: it makes the database.
const SEATS: [&str; 6] =
    ["api,dispatcher,worker", "dispatcher", "dispatcher", "worker", "worker", "worker"];
/// How long a process stands still: longer than anything that it held may wait, so that nothing
/// looks well only because it came back.
pub(super) const STILL: Duration = Duration::from_secs(18);
/// A ticket whose workers die five times is given up, and one whose workers died twice waits for
/// others of its sort, so none is aimed at more often than this.
const STRUCK_MAX: usize = 2;
/// How long a process may go on that stopped in the middle of a write.
const NUDGE: Duration = Duration::from_millis(20);
/// How long to wait for somebody to hold a ticket.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is started again whenever it was killed.
struct Seat {
    roles: &'static str,
    node: Node,
    still_since: Option<Instant>,
}

impl Seat {
    fn ends_standing_still(&mut self, strikes: &mut [Strike]) {
        let since = self.still_since.take();
        if let Some(strike) = strikes.iter_mut().find(|strike| Some(strike.at) == since) {
            strike.still_until = Some(Instant::now());
        }
    }
}

/// A strike, and for each process that it hit its log and the tickets that were in work there.
pub(super) struct Strike {
    pub(super) sort: Sort,
    pub(super) at: Instant,
    pub(super) held: Vec<(Log, BTreeSet<String>)>,
    /// Until when it stood still.
    pub(super) still_until: Option<Instant>,
    /// How often it was in the middle of a write when it was to be stopped.
    pub(super) locks: usize,
}

/// All processes, what they logged and what befell them.
pub(super) struct Fleet {
    seats: Vec<Seat>,
    pub(super) logs: Vec<Log>,
    pub(super) strikes: Vec<Strike>,
    /// How often each ticket was in work where it struck.
    struck: BTreeMap<String, usize>,
}

pub(super) fn ticket(line: &Line) -> Option<String> {
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
    pub(super) async fn start(place: &Place) -> anyhow::Result<Self> {
        let (seats, logs) = (vec![], vec![]);
        let mut fleet = Self { seats, logs, strikes: vec![], struck: BTreeMap::new() };
        for roles in SEATS {
            let node = Node::serve(place, roles).await?;
            fleet.logs.push(node.log.clone());
            fleet.seats.push(Seat { roles, node, still_since: None });
        }
        Ok(fleet)
    }

    /// Waits until one of the strikes that are still to come can be made, and takes it out: at
    /// somebody who holds a ticket, if its sort hits such.
    pub(super) async fn aim(
        &mut self,
        to_come: &mut Vec<Sort>,
        peace: Duration,
        chance: &mut Chance,
    ) -> anyhow::Result<(Sort, Vec<usize>)> {
        let since = Instant::now();
        loop {
            // The moment is drawn before the victim: how far its work is then is left to chance.
            chance.any_moment(peace).await;
            self.wake(STILL)?;
            let seen = self.seen();
            for (at, sort) in to_come.iter().enumerate() {
                if let Some(victims) = self.victims(*sort, chance)? {
                    return Ok((to_come.remove(at), victims));
                }
            }
            anyhow::ensure!(since.elapsed() < PATIENCE, "nobody holds a ticket");
            self.something_happens(&seen).await;
        }
    }

    /// Whom a strike of this sort would hit now, if it can be made.
    fn victims(&self, sort: Sort, chance: &mut Chance) -> anyhow::Result<Option<Vec<usize>>> {
        let roles = match sort {
            Sort::KillWorker | Sort::StopWorker => "worker",
            Sort::KillDispatcher | Sort::StopDispatcher => "dispatcher",
            Sort::KillNode | Sort::StopNode => SEATS[0],
            Sort::KillAll => "",
        };
        let is_still = |seat: &&Seat| seat.still_since.is_some();
        // Others of its sort carry on while one stands still.
        if sort.stops() && self.seats.iter().filter(is_still).any(|seat| seat.roles == roles) {
            return Ok(None);
        }
        // Only the api makes new work for a dispatcher to hand over.
        let without_api = self.seats[0].still_since.is_some();
        if without_api && !sort.hits_handlers() {
            return Ok(None);
        }
        let running = (0..SEATS.len()).filter(|at| self.seats[*at].still_since.is_none());
        if sort == Sort::KillAll {
            let held: Vec<_> = running.map(|at| in_work(&self.seats[at].node.log)).collect();
            let fits =
                held.iter().any(|held| !held.is_empty()) && held.iter().all(|h| self.spares(h));
            return Ok(fits.then(|| (0..SEATS.len()).collect()));
        }
        let fitting = running.filter(|at| self.seats[*at].roles == roles).filter(|at| {
            let held = in_work(&self.seats[*at].node.log);
            !sort.hits_handlers() || (!held.is_empty() && self.spares(&held))
        });
        let fitting: Vec<usize> = fitting.collect();
        let drawn = usize::try_from(chance.below(fitting.len() as u64))?;
        Ok(fitting.get(drawn).map(|victim| vec![*victim]))
    }

    /// Whether none of these was struck so often that its next loss might be its last.
    fn spares(&self, held: &BTreeSet<String>) -> bool {
        held.iter().all(|id| self.struck.get(id).is_none_or(|times| *times < STRUCK_MAX))
    }

    /// How much each process has logged.
    fn seen(&self) -> Vec<usize> {
        self.logs.iter().map(|log| log.lines().len()).collect()
    }

    /// Waits until somebody logs something that nobody has seen, or somebody has stood still for
    /// long enough.
    async fn something_happens(&self, seen: &[usize]) {
        let lines = self.logs.iter().zip(seen);
        let lines = lines.map(|(log, seen)| log.wait_for(*seen, PATIENCE, |_| true));
        // A process that has ended logs nothing more.
        let lines = lines.map(|line| async move {
            if line.await.is_none() {
                std::future::pending::<()>().await;
            }
        });
        let still = self.seats.iter().filter_map(|seat| seat.still_since);
        let awake = still.min().map_or(Instant::now() + PATIENCE, |since| since + STILL);
        let _ =
            tokio::time::timeout_at(awake.into(), select_all(lines.map(FutureExt::boxed))).await;
    }

    pub(super) async fn strike(
        &mut self,
        place: &Place,
        sort: Sort,
        victims: &[usize],
        chance: &mut Chance,
    ) -> anyhow::Result<()> {
        let mut at = Instant::now();
        if !sort.stops() {
            return self.kill(place, sort, victims).await;
        }
        let (mut held, mut locks) = (vec![], 0);
        for victim in victims {
            let seat = &mut self.seats[*victim];
            seat.node.pause()?;
            // Who stops in the middle of a write to an SQLite file keeps everybody from writing to
            // it: nothing takes that lock away but its going on, or its death. That is known, and
            // nothing to measure here.
            while seat.node.holds_write_lock()? {
                locks += 1;
                seat.node.unpause()?;
                chance.any_moment(NUDGE).await;
                seat.node.pause()?;
            }
            at = Instant::now();
            seat.still_since = Some(at);
            held.push((seat.node.log.clone(), in_work(&seat.node.log)));
        }
        self.remember(Strike { sort, at, held, still_until: None, locks });
        Ok(())
    }

    /// Kills these, all before any is started again.
    async fn kill(&mut self, place: &Place, sort: Sort, victims: &[usize]) -> anyhow::Result<()> {
        let at = Instant::now();
        for victim in victims {
            self.seats[*victim].node.kill_now()?;
        }
        let mut held = vec![];
        for victim in victims {
            let seat = &mut self.seats[*victim];
            seat.node.log.finished().await;
            // What somebody held who stood still was struck by that.
            match seat.still_since {
                None => held.push((seat.node.log.clone(), in_work(&seat.node.log))),
                Some(_) => seat.ends_standing_still(&mut self.strikes),
            }
        }
        self.remember(Strike { sort, at, held, still_until: None, locks: 0 });
        for victim in victims {
            let seat = &mut self.seats[*victim];
            seat.node = Node::serve(place, seat.roles).await?;
            self.logs.push(seat.node.log.clone());
        }
        Ok(())
    }

    fn remember(&mut self, strike: Strike) {
        for id in strike.held.iter().flat_map(|(_, held)| held) {
            *self.struck.entry(id.clone()).or_default() += 1;
        }
        self.strikes.push(strike);
    }

    /// Lets processes go on that stood still for so long.
    fn wake(&mut self, still: Duration) -> anyhow::Result<()> {
        for seat in &mut self.seats {
            if seat.still_since.is_some_and(|since| since.elapsed() >= still) {
                seat.node.unpause()?;
                seat.ends_standing_still(&mut self.strikes);
            }
        }
        Ok(())
    }

    /// Lets everybody go on as soon as they have stood still for long enough.
    pub(super) async fn wake_all(&mut self) -> anyhow::Result<()> {
        while self.seats.iter().any(|seat| seat.still_since.is_some()) {
            self.something_happens(&self.seen()).await;
            self.wake(STILL)?;
        }
        Ok(())
    }
}
