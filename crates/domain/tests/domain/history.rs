//! A life: one aggregate, all commands that it was given, and what must hold after each of them.

use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided};
use printmill_domain::event::{EventDraft, event_id, stream_uuid};
use printmill_domain::ids::{EventId, Id, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Problem;
use printmill_domain::ticket::{Ticket, TicketState};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// An aggregate whose life can be lived by the rules of [`History`].
pub(crate) trait Life: Aggregate + PartialEq + Debug {
    /// What can happen to it.
    type Command: Clone + Debug;
    /// Decides what a command does.
    fn decide(&self, command: Self::Command, now: Timestamp) -> Result<Decided<Self>, Problem>;
    /// The last place used in its own stream; nothing when it writes none.
    fn sequence(&self) -> Option<u64>;
    /// What holds of every state that can be reached.
    fn check(&self);
    /// What holds of every step.
    fn check_step(&self, next: &Self);
    /// Whether giving the same command again at once must change nothing.
    fn repeats_quietly(command: &Self::Command) -> bool {
        let _ = command;
        true
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It was refused.
    Refused(Problem),
    /// It changed nothing.
    Quiet,
    /// It changed something.
    Done,
}

/// One aggregate with all that was committed with it.
#[derive(Debug)]
pub(crate) struct History<A: Life> {
    /// The present state.
    pub(crate) state: A,
    /// All its events.
    pub(crate) events: Vec<EventDraft>,
    /// All tickets that it asked for.
    pub(crate) tickets: BTreeMap<TicketId, Ticket>,
    event_ids: BTreeSet<EventId>,
}

impl<A: Life> History<A> {
    /// A life begins.
    pub(crate) fn begin(decided: Decided<A>, now: Timestamp) -> Self {
        let mut history = Self {
            state: decided.state.clone(),
            events: vec![],
            tickets: BTreeMap::new(),
            event_ids: BTreeSet::new(),
        };
        assert_eq!(decided.state.sequence().is_some(), !decided.events.is_empty());
        history.commit(decided, now);
        history
    }

    /// Gives it a command and checks everything that holds for all lives.
    pub(crate) fn apply(&mut self, command: A::Command, now: Timestamp) -> Outcome {
        let first = self.state.decide(command.clone(), now);
        let second = self.state.decide(command.clone(), now);
        assert_eq!(first, second, "the same decision twice gives the same");
        let decided = match first {
            Ok(decided) => decided,
            Err(problem) => {
                assert!(!problem.message.is_empty() && !problem.advice.is_empty(), "{problem:?}");
                return Outcome::Refused(problem);
            }
        };
        if decided.state == self.state {
            assert!(decided.is_quiet(), "events or tickets without a change: {decided:?}");
            return Outcome::Quiet;
        }
        assert!(
            decided.state.sequence().is_none() || !decided.events.is_empty(),
            "a change without an event: {command:?}"
        );
        self.state.check_step(&decided.state);
        self.commit(decided, now);
        if A::repeats_quietly(&command) {
            let again = self.state.decide(command.clone(), now);
            assert_eq!(again, Ok(Decided::quiet(self.state.clone())), "twice: {command:?}");
        }
        Outcome::Done
    }

    fn commit(&mut self, decided: Decided<A>, now: Timestamp) {
        let Decided { state, events, tickets } = decided;
        for ticket in tickets {
            check_new(&ticket, &state, now);
            let id = ticket.id;
            assert!(self.tickets.insert(id, ticket).is_none(), "{id} was made before");
        }
        let uuid = stream_uuid(&state.id()).expect("an id has bits behind it");
        for event in events {
            let next = self.events.len() as u64 + 1;
            assert_eq!(event.sequence, next, "no gap and no repeat: {event:?}");
            assert_eq!(event.stream, state.id(), "all of it is one stream");
            assert!(self.event_ids.insert(event_id(uuid, next)), "every event has its own id");
            let (noun, participle) = event.kind.split_once('.').expect("noun.participle");
            assert!(!noun.is_empty() && !participle.is_empty());
            assert!(stream_uuid(&event.subject).is_some(), "{} names something", event.subject);
            self.events.push(event);
        }
        if let Some(sequence) = state.sequence() {
            assert_eq!(sequence, self.events.len() as u64, "the state knows its last place");
        }
        let identity = |one: &A| (one.id(), one.merchant(), one.facility(), one.created_at());
        assert_eq!(identity(&self.state), identity(&state), "it stays what it is");
        assert_eq!(stored_and_read(&state), state, "a stored document is read as it was");
        state.check();
        self.state = state;
    }
}

/// A document as a database gives it back.
pub(crate) fn stored_and_read<A: serde::Serialize + serde::de::DeserializeOwned>(value: &A) -> A {
    let document = serde_json::to_string(value).expect("it can be stored");
    serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {document}"))
}

fn check_new<A: Aggregate>(ticket: &Ticket, about: &A, now: Timestamp) {
    assert_eq!(ticket.merchant, about.merchant());
    assert_eq!((ticket.state, ticket.attempt, ticket.failures), (TicketState::Queued, 0, 0));
    assert_eq!((ticket.version, ticket.sent_at, ticket.due_at), (1, None, now));
    assert!(ticket.claimable(now) && ticket.fence().is_none());
    assert_eq!(Lane::parse(ticket.lane.as_str()).as_ref(), Some(&ticket.lane), "brokers take it");
    assert_eq!(TicketId::parse(&ticket.id.to_string()), Ok(ticket.id));
    let payload = ticket.payload.as_object().expect("a payload has names");
    assert!(payload.values().all(|id| id.as_str().is_some_and(|id| stream_uuid(id).is_some())));
    assert_eq!(&stored_and_read(ticket), ticket);
}
