//! Random lives of schedules, under clocks that jump: every tick once, missed ones by policy.

use crate::cases;
use crate::fixtures::at;
use crate::history::stored_and_read;
use chrono::TimeDelta;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided};
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::schedule::{
    AT_ONCE_MAX, Definition, MADE_UP_MAX, MissedTicks, ON_TIME, Recurrence, Schedule,
    TicketTemplate,
};
use printmill_domain::ticket::Ticket;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn definition(cron: &str, missed: MissedTicks) -> Definition {
    let payload = serde_json::Map::from_iter([("of".to_owned(), "mine".into())]);
    Definition {
        name: "nightly-2".into(),
        cron: cron.into(),
        zone: "Europe/Amsterdam".into(),
        missed,
        makes: TicketTemplate { lane: Lane::express(), kind: "night.work".into(), payload },
    }
}

/// A schedule, and the tickets that a database would hold.
struct World {
    schedule: Schedule,
    tickets: BTreeMap<TicketId, Ticket>,
    now: Timestamp,
    moves: u64,
}

impl World {
    fn begin(cron: &str, missed: MissedTicks) -> Self {
        let made = Schedule::create(definition(cron, missed), at(0)).expect("a good definition");
        Self { schedule: made.state, tickets: BTreeMap::new(), now: at(0), moves: 1 }
    }

    /// What a commit does: ticket ids must be new, events must follow each other.
    fn commit(&mut self, decided: Decided<Schedule>) -> usize {
        for (index, event) in decided.events.iter().enumerate() {
            assert_eq!(event.sequence, self.moves + 1 + index as u64);
            assert_eq!(event.stream, self.schedule.id.to_string());
        }
        self.moves += decided.events.len() as u64;
        assert_eq!(decided.state.sequence, self.moves);
        assert!(decided.tickets.len() <= AT_ONCE_MAX, "{} at once", decided.tickets.len());
        let count = decided.tickets.len();
        for ticket in decided.tickets {
            let twice = self.tickets.insert(ticket.id, ticket);
            assert_eq!(twice, None, "the same tick is never ticketed twice");
        }
        assert_eq!(stored_and_read(&decided.state), decided.state);
        self.schedule = decided.state;
        count
    }

    /// What a dispatcher does when it looks.
    fn look(&mut self) -> usize {
        if let Some(rewound) = self.schedule.rewind(self.now).expect("a good line") {
            assert!(rewound.state.next_tick > self.now - ON_TIME);
            self.commit(rewound);
        }
        let made: BTreeSet<TicketId> = self.tickets.keys().copied().collect();
        let mut count = 0;
        for _ in 0..MADE_UP_MAX {
            if !self.schedule.is_due(self.now) {
                return count;
            }
            let before = self.schedule.next_tick;
            let ticked = self.schedule.tick(self.now, &made).expect("a good line");
            assert!(ticked.state.next_tick > before, "it moves on");
            count += self.commit(ticked);
        }
        panic!("it is always due: {:?}", self.schedule);
    }

    /// Whether a tick came before the schedule began, as far as a clock can tell that shows `now`.
    fn precedes(&self, tick: Timestamp, now: Timestamp) -> bool {
        let began = self.schedule.begins_at;
        tick <= began && began - now < ON_TIME
    }

    fn made(&self, tick: Timestamp) -> bool {
        self.tickets.contains_key(&self.schedule.ticket_of(tick))
    }
}

/// All ticks after a time, up to another.
fn ticks(cron: &str, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let recurrence = Recurrence::parse(cron, "Europe/Amsterdam").expect("a good line");
    std::iter::successors(recurrence.next_after(from), |tick| recurrence.next_after(*tick))
        .take_while(|tick| *tick <= until)
        .collect()
}

fn any_policy() -> impl Strategy<Value = MissedTicks> {
    prop::sample::select(vec![MissedTicks::Skip, MissedTicks::Once, MissedTicks::All])
}

#[derive(Debug, Clone)]
enum Move {
    /// Time goes by, and a dispatcher looks every so many seconds.
    Watch {
        looks: u32,
        seconds: i64,
    },
    /// Nobody looks, or the clock jumps: forward or back.
    Jump {
        seconds: i64,
    },
    Pause,
    Resume,
    Run,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let years = 5 * 365 * 86_400i64;
    let one = prop_oneof![
        6 => (1..60u32, 1..ON_TIME.num_seconds())
            .prop_map(|(looks, seconds)| Move::Watch { looks, seconds }),
        2 => (-7_200..7_200i64).prop_map(|seconds| Move::Jump { seconds }),
        2 => (-200_000..200_000i64).prop_map(|seconds| Move::Jump { seconds }),
        1 => (-years..years).prop_map(|seconds| Move::Jump { seconds }),
        1 => Just(Move::Pause),
        2 => Just(Move::Resume),
        1 => Just(Move::Run),
    ];
    prop::collection::vec(one, 1..30)
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn whatever_the_clock_does_a_tick_that_it_passes_is_done_once(
        cron in prop::sample::select(vec!["* * * * *", "*/7 * * * *", "30 * * * *", "30 2 * * *", "0 0 1 * *"]),
        missed in any_policy(),
        moves in moves(),
    ) {
        let mut world = World::begin(cron, missed);
        let mut runs = 0;
        for step in moves {
            match step {
                Move::Watch { looks, seconds } => for _ in 0..looks {
                    world.look();
                    let before = world.now;
                    world.now += TimeDelta::seconds(seconds);
                    world.look();
                    for tick in ticks(cron, before, world.now) {
                        let owed = !world.schedule.paused && !world.precedes(tick, before);
                        prop_assert!(!owed || world.made(tick), "{} is not done: {:?}", tick, world.schedule);
                    }
                },
                Move::Jump { seconds } => world.now += TimeDelta::seconds(seconds),
                Move::Pause => { let paused = world.schedule.pause(); world.commit(paused); }
                Move::Resume => {
                    let resumed = world.schedule.resume(world.now).unwrap();
                    world.commit(resumed);
                    prop_assert!(world.schedule.next_tick > world.now || !world.schedule.paused);
                }
                Move::Run => {
                    let run = world.schedule.run(world.now);
                    prop_assert_eq!(world.commit(run), 1);
                    runs += 1;
                }
            }
            prop_assert_eq!(world.schedule.state() == "paused", world.schedule.paused);
        }
        prop_assert_eq!(world.schedule.runs, runs);
    }

    #[test]
    fn clocks_that_are_a_little_apart_do_nothing_from_before_it_began(
        missed in any_policy(),
        began in 0..600i64,
        resumed in prop::option::of(0..600i64),
        looks in prop::collection::vec((0..40i64, -59..60i64), 1..40),
    ) {
        let definition = definition("* * * * *", missed);
        let mut began = at(began);
        let schedule = Schedule::create(definition, began).unwrap().state;
        let mut world = World { schedule, tickets: BTreeMap::new(), now: began, moves: 1 };
        if let Some(later) = resumed {
            let paused = world.schedule.pause();
            world.commit(paused);
            began += TimeDelta::seconds(later);
            let resumed = world.schedule.resume(began).unwrap();
            world.commit(resumed);
        }
        let mut time = began;
        for (passed, ahead) in looks {
            time += TimeDelta::seconds(passed);
            world.now = time + TimeDelta::seconds(ahead);
            world.look();
        }
        for tick in ticks("* * * * *", at(-3_600), began) {
            prop_assert!(!world.made(tick), "{} is done, and it began at {}", tick, began);
        }
        for tick in ticks("* * * * *", began, time - TimeDelta::seconds(59)) {
            let done = world.made(tick) || missed != MissedTicks::All;
            prop_assert!(done, "{} is not done", tick);
        }
    }

    #[test]
    fn missed_ticks_are_made_up_for_as_the_policy_says(
        cron in prop::sample::select(vec!["* * * * *", "*/15 * * * *", "30 2 * * *", "0 9 * * MON"]),
        away in 60..400_000i64,
        missed in any_policy(),
    ) {
        let mut world = World::begin(cron, missed);
        world.now += TimeDelta::seconds(away);
        let due = ticks(cron, at(0), world.now);
        world.look();
        let made: Vec<Timestamp> = due.iter().copied().filter(|tick| world.made(*tick)).collect();
        prop_assert_eq!(made.len(), world.tickets.len(), "no tick is invented");
        let expected = match missed {
            MissedTicks::Skip => due.iter().copied().filter(|tick| world.now - *tick < ON_TIME).collect(),
            MissedTicks::Once => due.last().copied().into_iter().collect(),
            MissedTicks::All => due[due.len().saturating_sub(MADE_UP_MAX)..].to_vec(),
        };
        prop_assert_eq!(made, expected);
        prop_assert!(world.schedule.next_tick > world.now);
        prop_assert_eq!(world.look(), 0, "and that was all");
    }
}

#[test]
fn a_ticket_says_what_it_is_made_for() {
    let mut world = World::begin("0 14 * * *", MissedTicks::Once);
    world.now = at(86_400);
    world.look();
    let ticket = world.tickets.values().next().expect("one tick is due");
    assert_eq!((&*ticket.kind, &ticket.lane), ("night.work", &Lane::express()));
    assert_eq!(ticket.payload["of"], "mine");
    assert_eq!(ticket.payload["schedule"], world.schedule.id.to_string());
    assert_eq!(ticket.payload["tick"], "2026-01-01T13:00:00Z");
    assert_eq!(ticket.payload["previous"], "2026-01-01T12:00:00Z");
    assert_eq!(ticket.due_at, world.now);
    let run = world.schedule.run(world.now + TimeDelta::seconds(7));
    assert_eq!(run.tickets[0].payload["tick"], "2026-01-02T12:00:07Z");
    assert_eq!(run.tickets[0].payload["previous"], "2026-01-02T12:00:07Z");
    assert_eq!(
        (run.state.next_tick, run.state.last_tick),
        (world.schedule.next_tick, world.schedule.last_tick)
    );
}

#[test]
fn a_new_definition_is_taken_over_and_the_same_one_changes_nothing() {
    let world = World::begin("0 14 * * *", MissedTicks::Once);
    let same = definition("0 14 * * *", MissedTicks::Once);
    let unchanged = world.schedule.redefine(&same, at(99_999)).expect("it is good");
    assert!(unchanged.is_quiet() && unchanged.state == world.schedule);
    let other = definition("0 15 * * *", MissedTicks::All);
    let changed = world.schedule.redefine(&other, at(0)).expect("it is good");
    assert_eq!(changed.state.next_tick, at(7_200));
    assert_eq!((changed.state.missed, changed.events.len()), (MissedTicks::All, 1));
    let wrong = definition("0 0 30 2 *", MissedTicks::All);
    let refused = world.schedule.redefine(&wrong, at(0)).expect_err("it never fires");
    assert_eq!(refused.code, Code::ScheduleNeverFires);
}

#[test]
fn the_name_makes_the_id_and_odd_names_are_refused() {
    let schedule = World::begin("* * * * *", MissedTicks::Skip).schedule;
    assert_eq!(schedule.id, Schedule::id_of("nightly-2"));
    assert_ne!(schedule.id, Schedule::id_of("nightly-3"));
    let long = "a".repeat(64);
    for name in ["", "Nightly", "a b", "é", "a_b", &long] {
        let wrong = Definition { name: name.into(), ..definition("* * * * *", MissedTicks::Skip) };
        let refused = Schedule::create(wrong, at(0)).expect_err(name);
        assert_eq!((refused.code, &*refused.violations[0].field), (Code::InvalidArgument, "name"));
    }
    assert!(!schedule.id.uuid().is_nil());
}
