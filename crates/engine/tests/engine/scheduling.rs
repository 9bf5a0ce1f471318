//! The scheduler: each tick once, whoever ticks and whatever the clock does. In paused time.

use crate::link::Link;
use crate::site::{Running, Site, pass};
use chrono::TimeDelta;
use printmill_adapter_memory::MemoryDatabase;
use printmill_backend::database::{EventQuery, Scope, TicketQuery};
use printmill_backend::{Change, Clock, Database, DatabaseExt};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::schedule::{
    Definition, MADE_UP_MAX, MissedTicks, Recurrence, Schedule, TicketTemplate,
};
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_engine::metrics::Metrics;
use printmill_engine::scheduler::Scheduler;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// The clock of a machine: follows paused time, but for its jumps.
struct JumpingClock {
    site: Arc<dyn Clock>,
    off_by: Mutex<TimeDelta>,
}

impl JumpingClock {
    fn jump(&self, seconds: i64) {
        *self.off_by.lock().expect("nobody panics") += TimeDelta::seconds(seconds);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.site.now() + *self.off_by.lock().expect("nobody panics")
    }
}

/// A site with a schedule, and a clock that jumps.
struct World {
    site: Site,
    clock: Arc<JumpingClock>,
    metrics: Metrics,
}

impl World {
    async fn begin(cron: &str, missed: MissedTicks) -> Self {
        let site = Site::new();
        let metrics = site.metrics.clone();
        let clock = JumpingClock { site: site.clock.clone(), off_by: Mutex::default() };
        let world = Self { site, clock: Arc::new(clock), metrics };
        let makes = TicketTemplate {
            lane: Lane::express(),
            kind: "hour.strike".into(),
            payload: serde_json::Map::new(),
        };
        let (name, cron, zone) = ("hours".into(), cron.into(), "Europe/Amsterdam".into());
        let definition = Definition { name, cron, zone, missed, makes };
        let made = Schedule::create(definition, world.now()).expect("a good line");
        let change = Change::new(MerchantId::PLATFORM, world.now()).create(made);
        world.database().commit(change).await.expect("memory");
        world
    }

    fn database(&self) -> &Arc<MemoryDatabase> {
        &self.site.database
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A dispatcher's scheduler on a machine with a clock of its own, so many seconds off.
    fn start_off_by(&self, seconds: i64) -> Running {
        let off_by = Mutex::new(TimeDelta::seconds(seconds));
        let clock = Arc::new(JumpingClock { site: self.clock.clone(), off_by });
        self.start_on(self.database().clone(), clock)
    }

    fn start_on(&self, database: Arc<dyn Database>, clock: Arc<dyn Clock>) -> Running {
        let scheduler = Scheduler::new(database, clock, self.metrics.clone());
        Running::start(|stop| scheduler.run(stop))
    }

    fn start(&self) -> Running {
        self.start_off_by(0)
    }

    async fn schedule(&self) -> Versioned<Schedule> {
        let id = Schedule::id_of("hours").to_string();
        self.database().find(PLATFORM, &id).await.expect("memory").expect("it was made")
    }

    async fn change(&self, decide: impl Fn(&Schedule) -> Decided<Schedule>) {
        let before = self.schedule().await;
        let decided = decide(&before);
        let change = Change::new(MerchantId::PLATFORM, self.now()).update(&before, decided);
        self.database().commit(change).await.expect("nobody else is as quick");
    }

    async fn tickets(&self) -> Vec<Ticket> {
        let query = TicketQuery::InState(TicketState::Queued);
        self.database().find_tickets(query, 100_000).await.expect("memory")
    }

    /// For which ticks there are tickets, in order.
    async fn ticked(&self) -> Vec<Timestamp> {
        let tick = |ticket: Ticket| ticket.payload["tick"].as_str().expect("a text").parse();
        let mut ticks: Vec<Timestamp> =
            self.tickets().await.into_iter().map(|it| tick(it).expect("a time")).collect();
        ticks.sort();
        ticks
    }

    /// Each ticket was made by one commit, and told once.
    async fn check_told_once(&self) {
        while self.database().sequence(1_000).await.expect("memory") > 0 {}
        let query = EventQuery { limit: 100_000, ..EventQuery::default() };
        let events = self.database().events(query).await.expect("memory");
        let told: Vec<TicketId> = events
            .iter()
            .filter(|event| event.draft.kind == "schedule.ticked")
            .flat_map(|event| event.draft.data["tickets"].as_array().expect("a list"))
            .map(|id| id.as_str().expect("a text").parse().expect("an id"))
            .collect();
        let made: BTreeSet<TicketId> = self.tickets().await.iter().map(|it| it.id).collect();
        assert_eq!(told.len(), made.len(), "none is told twice");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), made);
        assert_eq!(
            self.metrics.schedule_ticks.with_label_values(&["hours"]).get(),
            made.len() as u64
        );
    }
}

fn ticks(cron: &str, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let recurrence = Recurrence::parse(cron, "Europe/Amsterdam").expect("a good line");
    std::iter::successors(recurrence.next_after(from), |tick| recurrence.next_after(*tick))
        .take_while(|tick| *tick <= until)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_tick_is_done_once_and_at_once_by_several_nodes() {
    let world = World::begin("*/5 * * * *", MissedTicks::Skip).await;
    let started = world.now();
    let nodes: Vec<Running> = (0..5).map(|_| world.start()).collect();
    pass(3 * 3_600 + 1).await;
    let expected = ticks("*/5 * * * *", started, world.now());
    assert_eq!((world.ticked().await, expected.len()), (expected, 36));
    for ticket in world.tickets().await {
        let tick: Timestamp = ticket.payload["tick"].as_str().unwrap().parse().unwrap();
        assert!(ticket.created_at - tick < TimeDelta::milliseconds(100), "{ticket:?}");
    }
    world.check_told_once().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_noticed_and_a_paused_schedule_stands_still() {
    let world = World::begin("* * * * *", MissedTicks::All).await;
    let node = world.start();
    pass(150).await;
    assert_eq!(world.ticked().await.len(), 2);
    world.change(Schedule::pause).await;
    pass(600).await;
    assert_eq!(world.ticked().await.len(), 2, "it stands still");
    let now = world.now();
    world.change(|schedule| schedule.run(now)).await;
    assert_eq!(world.ticked().await.last(), Some(&now), "out of turn it runs");
    world.change(|schedule| schedule.resume(now).expect("a good line")).await;
    pass(120).await;
    assert_eq!(world.ticked().await.len(), 5, "what passed in the meantime was not missed");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_makes_up_for_a_long_absence_in_parts() {
    let world = World::begin("* * * * *", MissedTicks::All).await;
    world.clock.jump(30 * 86_400);
    let node = world.start();
    pass(1).await;
    let ticked = world.ticked().await;
    let newest = ticks("* * * * *", world.now() - TimeDelta::minutes(2_000), world.now());
    assert_eq!(ticked, newest[newest.len() - MADE_UP_MAX..]);
    world.check_told_once().await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_years_ahead_does_not_stop_the_schedule() {
    let world = World::begin("0 * * * *", MissedTicks::Once).await;
    let node = world.start();
    pass(3_600).await;
    let (years, before) = (10 * 365 * 86_400, world.ticked().await);
    world.clock.jump(years);
    pass(60).await;
    let ahead = world.ticked().await;
    assert_eq!(ahead.len(), before.len() + 1, "the newest of ten years: {ahead:?}");
    world.clock.jump(-years);
    let back = world.now();
    pass(5 * 3_600).await;
    let mut ticked = world.ticked().await;
    assert_eq!(ticked.pop(), ahead.last().copied());
    let since: Vec<_> = ticked.into_iter().filter(|tick| *tick > back).collect();
    assert_eq!(since, ticks("0 * * * *", back, world.now()), "it goes on");
    world.check_told_once().await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_clocks_disagree_tick_once_and_do_not_quarrel() {
    let world = World::begin("*/10 * * * *", MissedTicks::Once).await;
    let (ahead, right) = (world.start_off_by(2 * 3_600), world.start());
    let before = world.database().commits();
    pass(4 * 3_600).await;
    let ticked = world.ticked().await;
    let unique: BTreeSet<Timestamp> = ticked.iter().copied().collect();
    assert_eq!(unique.len(), ticked.len());
    let commits = *before.borrow();
    // Two minutes of quarrel would be more than that.
    assert!(commits <= 2 * 4 * 120, "{commits} commits in four hours");
    world.check_told_once().await;
    ahead.stop().await;
    right.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_for_a_while_is_asked_again() {
    let world = World::begin("* * * * *", MissedTicks::Once).await;
    let link = Link::to(world.database());
    let node = world.start_on(link.clone(), world.clock.clone());
    pass(30).await;
    link.cut();
    pass(50).await;
    assert_eq!(world.ticked().await.len(), 0);
    link.mend();
    pass(2).await;
    assert_eq!(world.ticked().await.len(), 1);
    node.stop().await;
}

#[derive(Debug, Clone)]
enum Move {
    Pass { seconds: u64 },
    Jump { seconds: i64 },
    Crash,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let days = 40 * 86_400i64;
    let one = prop_oneof![
        5 => (40..4_000u64).prop_map(|seconds| Move::Pass { seconds }),
        2 => (-8_000..8_000i64).prop_map(|seconds| Move::Jump { seconds }),
        1 => (-days..days).prop_map(|seconds| Move::Jump { seconds }),
        1 => Just(Move::Crash),
    ];
    prop::collection::vec(one, 1..16)
}

/// After its clock jumped, a node may need so long to notice.
const NOTICED: TimeDelta = TimeDelta::seconds(31);

async fn live(cron: &str, missed: MissedTicks, moves: Vec<Move>) {
    let world = World::begin(cron, missed).await;
    let began = world.now();
    let mut nodes = [world.start(), world.start()];
    for step in moves {
        match step {
            Move::Pass { seconds } => {
                // No tick is older than the schedule, also when the clock goes back behind that.
                let before = world.now().max(began);
                pass(seconds).await;
                let done: BTreeSet<Timestamp> = world.ticked().await.into_iter().collect();
                for tick in ticks(cron, before, world.now() - NOTICED) {
                    assert!(done.contains(&tick), "{tick}: {:?}", world.schedule().await);
                }
            }
            Move::Jump { seconds } => world.clock.jump(seconds),
            Move::Crash => {
                let [first, second] = nodes;
                first.crash().await;
                nodes = [second, world.start()];
            }
        }
    }
    world.check_told_once().await;
    let done = world.ticked().await;
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), done.len(), "each tick has one ticket");
    for node in nodes {
        node.stop().await;
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    #[test]
    fn two_nodes_do_each_tick_once_whatever_the_clock_does(
        cron in prop::sample::select(vec!["*/10 * * * *", "0 * * * *", "30 2 * * *"]),
        missed in prop::sample::select(vec![MissedTicks::Skip, MissedTicks::Once, MissedTicks::All]),
        moves in moves(),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let within = runtime.enable_all().start_paused(true).build().expect("a runtime");
        within.block_on(live(cron, missed, moves));
    }
}

#[tokio::test(start_paused = true)]
async fn between_ticks_it_only_looks_now_and_then() {
    let world = World::begin("0 0 1 1 *", MissedTicks::Once).await;
    let link = Link::to(world.database());
    let node = world.start_on(link.clone(), world.clock.clone());
    pass(3_600).await;
    let reads = link.lists();
    assert!(reads <= 122, "{reads} reads in an hour");
    // On a busy node no more than once a second.
    for number in 0..600 {
        world.site.make(number, "a.b").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(link.lists() - reads <= 7, "{} reads in six seconds", link.lists() - reads);
    node.stop().await;
}
