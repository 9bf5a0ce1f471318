//! Random lives of tickets, with all the holders they ever had.

use crate::cases;
use crate::fixtures::{at, id, merchant, problem};
use crate::history::stored_and_read;
use chrono::TimeDelta;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::retry::{OUTAGE_CEILING, RetryPolicy};
use printmill_domain::ticket::{Fence, MESSAGE_MAX, Stage, Ticket, TicketState};
use printmill_domain::ticket_end::{Admission, SUSPECT_LOSSES};
use printmill_domain::ticket_history::{ATTEMPTS_KEPT, AttemptEnd};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

#[derive(Debug, Clone)]
enum Move {
    Claim { token: u64, lease_seconds: i64 },
    Extend { fence: Index, lease_seconds: i64, progress: u16 },
    Complete { fence: Index },
    Release { fence: Index },
    Fail { fence: Index, hopeless: bool, outage: bool, jitter: u16 },
    Postpone { fence: Index, seconds: i64 },
    Cancel,
    Cancelled { fence: Index },
    Sent,
    Ripen,
    Replay,
}

fn moves() -> impl Strategy<Value = Vec<(i64, Move)>> {
    // Few tokens, so that they repeat: the attempt must count as well.
    let tokens = || 0..3u64;
    let jitter = prop_oneof![3 => 0..=1_000u16, 1 => any::<u16>()];
    let one = prop_oneof![
        6 => (tokens(), 0..30i64)
            .prop_map(|(token, lease_seconds)| Move::Claim { token, lease_seconds }),
        3 => (any::<Index>(), 0..30i64, any::<u16>()).prop_map(|(fence, lease_seconds, progress)| {
            Move::Extend { fence, lease_seconds, progress }
        }),
        1 => any::<Index>().prop_map(|fence| Move::Complete { fence }),
        2 => any::<Index>().prop_map(|fence| Move::Release { fence }),
        4 => (any::<Index>(), prop::bool::weighted(0.1), prop::bool::weighted(0.3), jitter)
            .prop_map(|(fence, hopeless, outage, jitter)| {
                Move::Fail { fence, hopeless, outage, jitter }
            }),
        1 => (any::<Index>(), -5..20i64)
            .prop_map(|(fence, seconds)| Move::Postpone { fence, seconds }),
        1 => Just(Move::Cancel),
        1 => any::<Index>().prop_map(|fence| Move::Cancelled { fence }),
        1 => Just(Move::Sent),
        2 => Just(Move::Ripen),
        1 => Just(Move::Replay),
    ];
    prop::collection::vec((0..20i64, one), 0..40)
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (1..6u32, 1..5_000i64, 1..40_000i64, 1..6u32, 0..400i64).prop_map(
        |(failures_max, base, ceiling, losses_max, patience)| RetryPolicy {
            failures_max,
            base: TimeDelta::milliseconds(base),
            ceiling: TimeDelta::milliseconds(ceiling),
            losses_max,
            patience: TimeDelta::seconds(patience),
        },
    )
}

struct World {
    ticket: Ticket,
    fences: Vec<Fence>,
    policy: RetryPolicy,
    replayed: bool,
}

impl World {
    fn begin(policy: RetryPolicy, deadline: Option<i64>) -> Self {
        let lane = Lane::express();
        let mut ticket = Ticket::new(id(1), merchant(), lane, "a.b", json!({}), at(0));
        ticket.deadline = deadline.map(at);
        // Proofs that were never given.
        let strange = |ticket, attempt| Fence { ticket: id(ticket), attempt, token: 0 };
        Self { ticket, fences: vec![strange(1, 0), strange(2, 1)], policy, replayed: false }
    }

    fn take(&mut self, step: &Move, seconds: i64) {
        let (before, now) = (self.ticket.clone(), at(seconds));
        let pick = |fence: &Index| fence.get(&self.fences).clone();
        let next = match step {
            Move::Claim { token, lease_seconds } => {
                let claimed = before.claim("w", *token, TimeDelta::seconds(*lease_seconds), now);
                assert_eq!(claimed.is_ok(), before.claimable(now));
                claimed
            }
            Move::Extend { fence, lease_seconds, progress } => {
                before.extend(&pick(fence), TimeDelta::seconds(*lease_seconds), *progress, now)
            }
            Move::Complete { fence } => before.complete(&pick(fence), now),
            Move::Release { fence } => before.release(&pick(fence), now),
            Move::Fail { fence, hopeless, outage, jitter } => {
                let (jitter, why) = (*jitter, if *outage { away() } else { problem(1) });
                before.fail(&pick(fence), why, *hopeless, &self.policy, jitter, now)
            }
            Move::Postpone { fence, seconds: until } => {
                before.postpone(&pick(fence), at(seconds + until), now)
            }
            Move::Cancel => match before.cancel(problem(2), now) {
                Some(next) => Ok(next),
                None => {
                    assert!(before.state.is_final() || before.cancel.is_some());
                    return;
                }
            },
            Move::Cancelled { fence } if before.cancel.is_none() => {
                assert!(before.cancelled(&pick(fence), now).is_err(), "nobody asked for it");
                return;
            }
            Move::Cancelled { fence } => before.cancelled(&pick(fence), now),
            Move::Sent => Ok(before.sent(now)),
            Move::Ripen => {
                let waits = before.stage() == Stage::Delayed && before.due_at <= now;
                let ripe = before.ripen(now);
                assert_eq!(ripe.is_some(), waits);
                let Some(ripe) = ripe else { return };
                Ok(ripe)
            }
            Move::Replay => {
                let replayed = before.replay(now);
                assert_eq!(replayed.is_ok(), before.state == TicketState::Dead);
                let Ok(replayed) = replayed else { return };
                self.replayed = true;
                Ok(replayed)
            }
        };
        match next {
            Ok(next) => {
                self.check_step(&before, &next, step, seconds);
                self.fences.extend(next.fence().filter(|_| matches!(step, Move::Claim { .. })));
                self.ticket = next;
            }
            Err(problem) => assert_eq!(problem.code, Code::LeaseLost),
        }
        self.check(seconds);
    }

    fn check_step(&self, before: &Ticket, next: &Ticket, step: &Move, seconds: i64) {
        assert_eq!(next.version, before.version + 1, "every change counts");
        assert_eq!(identity(before), identity(next));
        if before.state.is_final() && !matches!(step, Move::Replay) {
            assert_eq!(next.state, before.state, "the end is the end");
        }
        let claimed = u32::from(matches!(step, Move::Claim { .. }));
        let asked = before.cancel.is_some();
        let failed = match step {
            Move::Fail { hopeless, outage, .. } if !asked => {
                u32::from(*hopeless || !self.waits(*outage, seconds))
            }
            _ => 0,
        };
        let abandoned = before.state == TicketState::Leased && before.claimable(at(seconds));
        let took_over = matches!(step, Move::Claim { .. } | Move::Cancel) && abandoned;
        assert!(!asked || next.cancel == before.cancel, "nobody takes a cancellation back");
        assert_eq!(next.attempt, before.attempt + claimed);
        if !matches!(step, Move::Replay) {
            assert_eq!(next.lost_leases, before.lost_leases + u32::from(took_over));
            assert_eq!(next.failures, before.failures + failed);
        }
        if let (0, TicketState::Leased) = (claimed, next.state) {
            assert!(next.progress >= before.progress);
        }
        match (step, next.state) {
            (Move::Cancel, state) if before.state == TicketState::Leased && !took_over => {
                assert_eq!((state, next.fence()), (TicketState::Leased, before.fence()));
                assert!(next.cancel.is_some(), "the holder still has to hear of it");
            }
            (Move::Cancel | Move::Cancelled { .. }, state) => {
                assert_eq!((state, next.cancel.is_some()), (TicketState::Cancelled, true));
            }
            (Move::Fail { .. } | Move::Release { .. } | Move::Postpone { .. }, state) if asked => {
                assert_eq!(state, TicketState::Cancelled);
            }
            (Move::Fail { hopeless, outage, jitter, .. }, TicketState::Dead) => {
                assert!(*hopeless || self.had_to_end(next, *outage, *jitter, seconds));
            }
            (Move::Fail { hopeless, .. }, TicketState::Queued) => {
                assert!(!hopeless && next.failures < self.policy.failures_max);
                let wait = next.due_at - at(seconds);
                assert!(wait <= self.policy.ceiling && wait >= TimeDelta::zero(), "{wait}");
                assert!(!next.claimable(next.due_at - TimeDelta::microseconds(1)));
                assert!(next.claimable(next.due_at));
                assert_eq!(next.sent_at, None, "the relay must send it again");
                let stage = if wait.is_zero() { Stage::Waiting } else { Stage::Delayed };
                assert_eq!(next.stage(), stage);
                assert!(next.deadline.is_none_or(|deadline| next.due_at < deadline));
            }
            (Move::Postpone { seconds: until, .. }, state) => {
                assert_eq!((state, next.sent_at), (TicketState::Queued, None));
                assert_eq!(next.due_at, at(seconds + until.max(&0)));
                assert_eq!(next.delayed, *until > 0);
            }
            (Move::Release { .. }, state) => {
                assert_eq!(state, TicketState::Queued);
                assert!(next.claimable(at(seconds)) && next.sent_at.is_none());
            }
            (Move::Complete { .. }, state) => assert_eq!(state, TicketState::Done),
            (Move::Claim { .. } | Move::Extend { .. }, state) => {
                assert_eq!(state, TicketState::Leased);
            }
            (Move::Sent, state) => assert_eq!((state, &next.token), (before.state, &before.token)),
            (Move::Ripen, _) => assert_eq!(next.stage(), Stage::Waiting),
            (Move::Replay, _) => {
                assert_eq!((next.stage(), next.failures), (Stage::Waiting, 0));
                assert!(next.claimable(at(seconds)) && next.last_error.is_some());
            }
            (step, state) => panic!("{step:?} led to {state:?}"),
        }
    }

    /// Whether one that failed, and not hopelessly, is dead for a reason.
    fn had_to_end(&self, dead: &Ticket, outage: bool, jitter: u16, seconds: i64) -> bool {
        let waits = self.waits(outage, seconds);
        let longest = match waits {
            true => OUTAGE_CEILING.min(self.policy.ceiling),
            false => self.policy.backoff(dead.failures, jitter),
        };
        let too_late = dead.deadline.is_some_and(|deadline| deadline <= at(seconds) + longest);
        too_late || (!waits && dead.failures == self.policy.failures_max)
    }

    /// Whether a failure that may be an outage is none yet.
    fn waits(&self, outage: bool, seconds: i64) -> bool {
        outage && TimeDelta::seconds(seconds) < self.policy.patience
    }

    /// The history tells of the last attempts what the counters say of all.
    fn check_history(&self) {
        let (ticket, history) = (&self.ticket, &self.ticket.history);
        let kept = ATTEMPTS_KEPT.min(ticket.attempt as usize);
        let first = ticket.attempt as usize - kept + 1;
        let numbers: Vec<_> = history.iter().map(|attempt| attempt.attempt as usize).collect();
        assert_eq!(numbers, (first..first + kept).collect::<Vec<_>>());
        let open = history.iter().filter(|attempt| attempt.end.is_none()).count();
        assert_eq!(open, usize::from(ticket.state == TicketState::Leased), "{history:?}");
        assert!(history.iter().all(|attempt| attempt.ended_at.is_some() == attempt.end.is_some()));
        if first == 1 && !self.replayed {
            let ended = |end| history.iter().filter(|attempt| attempt.end == Some(end)).count();
            assert_eq!(ended(AttemptEnd::Lost), ticket.lost_leases as usize);
            let waited = history.iter().filter(|attempt| {
                let why = attempt.problem.as_ref();
                attempt.end == Some(AttemptEnd::Failed) && why.is_some_and(|why| *why == away())
            });
            let failed = ended(AttemptEnd::Failed);
            let failures = ticket.failures as usize;
            assert!(failures <= failed && failures + waited.count() >= failed);
            assert_eq!(ended(AttemptEnd::Done), usize::from(ticket.state == TicketState::Done));
        }
    }

    fn check(&self, seconds: i64) {
        let (ticket, now) = (&self.ticket, at(seconds));
        assert_eq!(&stored_and_read(ticket), ticket);
        assert!(ticket.failures <= self.policy.failures_max && ticket.failures <= ticket.attempt);
        assert!(ticket.progress <= 1_000);
        assert!(!ticket.delayed || ticket.state == TicketState::Queued, "{ticket:?}");
        self.check_history();
        let leased = ticket.state == TicketState::Leased;
        let lease = (ticket.token.is_some(), ticket.holder.is_some(), ticket.lease_until.is_some());
        assert_eq!(lease, (leased, leased, leased));
        let good = ticket.fence();
        assert_eq!(good.is_some(), leased);
        assert!(good.as_ref().is_none_or(|fence| fence.attempt == ticket.attempt));
        for (index, fence) in self.fences.iter().enumerate() {
            let holds = good.as_ref() == Some(fence);
            let latest = leased && index + 1 == self.fences.len();
            assert_eq!(holds, latest, "only the proof of the last claim holds: {fence:?}");
            let second = TimeDelta::seconds(1);
            let moves: [Result<Ticket, Problem>; 4] = [
                ticket.extend(fence, second, 0, now),
                ticket.complete(fence, now),
                ticket.release(fence, now),
                ticket.fail(fence, problem(0), false, &self.policy, 0, now),
            ];
            assert!(moves.iter().all(|moved| moved.is_ok() == holds), "{fence:?} {ticket:?}");
        }
    }
}

/// A backend does not answer.
fn away() -> Problem {
    Problem::new(Code::Unavailable, "it does not answer", "wait")
}

/// What never changes.
fn identity(ticket: &Ticket) -> impl PartialEq + std::fmt::Debug {
    (ticket.id, ticket.merchant, ticket.lane.clone(), ticket.kind.clone(), ticket.created_at)
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn no_life_of_a_ticket_breaks_its_rules(
        policy in policy(),
        deadline in prop::option::of(0..200i64),
        moves in moves(),
    ) {
        let mut world = World::begin(policy, deadline);
        let mut seconds = 0;
        for (elapsed, step) in moves {
            seconds += elapsed;
            world.take(&step, seconds);
        }
    }

    #[test]
    fn a_ticket_that_always_fails_is_dead_after_so_many_failures(policy in policy(), jitter: u16) {
        let mut ticket = World::begin(policy, None).ticket;
        let mut failures = 0;
        while !ticket.state.is_final() {
            let now = ticket.due_at;
            let held = ticket.claim("w", 1, TimeDelta::seconds(1), now).unwrap();
            let fence = held.fence().unwrap();
            ticket = held.fail(&fence, problem(1), false, &policy, jitter, now).unwrap();
            failures += 1;
        }
        prop_assert_eq!((ticket.state, failures), (TicketState::Dead, policy.failures_max));
    }

    #[test]
    fn a_ticket_waits_for_what_is_away_and_is_given_up_when_that_does_not_end(
        policy in policy(),
        jitter: u16,
    ) {
        let mut ticket = World::begin(policy, None).ticket;
        while !ticket.state.is_final() {
            let now = ticket.due_at;
            let held = ticket.claim("w", 1, TimeDelta::seconds(1), now).unwrap();
            let fence = held.fence().unwrap();
            ticket = held.fail(&fence, away(), false, &policy, jitter, now).unwrap();
            if now - ticket.created_at < policy.patience {
                prop_assert_eq!((ticket.state, ticket.failures), (TicketState::Queued, 0));
                prop_assert!(ticket.due_at - now <= OUTAGE_CEILING.min(policy.ceiling));
                // The waits may be of milliseconds; what matters is the end.
                ticket.due_at = ticket.due_at.max(now + TimeDelta::seconds(1));
            }
        }
        prop_assert_eq!((ticket.state, ticket.failures), (TicketState::Dead, policy.failures_max));
    }

    #[test]
    fn a_ticket_whose_holders_vanish_is_given_up_after_so_many(policy in policy()) {
        let mut ticket = World::begin(policy, None).ticket;
        let mut alone = 0;
        let lost = loop {
            let now = ticket.lease_until.unwrap_or(ticket.due_at);
            ticket = ticket.claim("w", 1, TimeDelta::seconds(1), now).unwrap();
            match ticket.admission(&policy, now) {
                Admission::Work => prop_assert!(ticket.lost_leases < SUSPECT_LOSSES),
                Admission::WorkAlone => alone += 1,
                Admission::GiveUp(problem) => break problem,
                Admission::Cancel(_) => unreachable!("nobody asked for it"),
            }
        };
        prop_assert_eq!(lost.code, Code::WorkerLost);
        prop_assert_eq!((ticket.lost_leases, ticket.failures), (policy.losses_max, 0));
        prop_assert_eq!(alone, policy.losses_max.saturating_sub(SUSPECT_LOSSES));
    }

    #[test]
    fn what_a_holder_says_is_readable_and_short(text in any::<String>()) {
        let said = World::begin(RetryPolicy::default(), None).ticket.saying(&text).message;
        prop_assert!(said.chars().count() <= MESSAGE_MAX && !said.chars().any(char::is_control));
        prop_assert!(text.chars().any(char::is_control) || text.starts_with(&said));
    }

    #[test]
    fn pauses_grow_up_to_the_ceiling_and_jitter_keeps_their_lower_half(
        policy in policy(),
        failures: u32,
        jitter: u16,
    ) {
        let full = |failures: u32| {
            let doubled = 2f64.powi(failures.saturating_sub(1).min(60) as i32)
                * policy.base.num_milliseconds() as f64;
            doubled.min(policy.ceiling.num_milliseconds() as f64)
        };
        let wait = policy.backoff(failures, jitter).num_milliseconds() as f64;
        prop_assert!(wait <= full(failures) && wait >= (full(failures) / 2.0).floor());
        prop_assert!(policy.backoff(failures, jitter) <= policy.backoff(failures.saturating_add(1), jitter));
        prop_assert!(policy.backoff(failures, 0) <= policy.backoff(failures, jitter));
    }
}

#[test]
fn a_claim_after_the_deadline_is_no_work_and_a_cancelled_one_neither() {
    let policy = RetryPolicy::default();
    let ticket = World::begin(policy, Some(10)).ticket;
    let claimed = ticket.claim("w", 1, TimeDelta::seconds(30), at(9)).unwrap();
    assert_eq!(claimed.admission(&policy, at(9)), Admission::Work);
    let Admission::GiveUp(late) = claimed.admission(&policy, at(10)) else { panic!("too late") };
    assert_eq!(late.code, Code::WorkOverdue);
    let asked = claimed.cancel(problem(1), at(10)).unwrap();
    assert_eq!(asked.admission(&policy, at(10)), Admission::Cancel(problem(1)));
}

#[test]
fn a_ticket_that_was_stored_before_attempts_were_remembered_can_be_read() {
    let ticket = World::begin(RetryPolicy::default(), None).ticket;
    let mut stored = serde_json::to_value(&ticket).unwrap();
    let fields = stored.as_object_mut().unwrap();
    assert!(fields.remove("lost_leases").is_some() && !fields.contains_key("history"));
    assert_eq!(serde_json::from_value::<Ticket>(stored).unwrap(), ticket);
}
