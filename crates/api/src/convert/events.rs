//! The event log on the wire.

use super::{structure, time};
use printmill_domain::Timestamp;
use printmill_domain::event::Event;
use printmill_domain::event_count::EventCount;
use printmill_domain::problem::Problem;
use printmill_proto::v1;

/// The most kinds that a request may name.
const KINDS_MAX: usize = 20;
/// The most characters of a kind.
const KIND_LENGTH_MAX: usize = 64;

/// Something that happened.
pub(crate) fn event(event: Event) -> v1::Event {
    v1::Event {
        id: event.id.to_string(),
        seq: seq(event.seq),
        stream: event.draft.stream,
        sequence: seq(event.draft.sequence),
        kind: event.draft.kind,
        subject: event.draft.subject,
        data: structure(&event.draft.data),
        time: time(event.at),
    }
}

/// A place in the log or in a history.
pub(crate) fn seq(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// A day's counts.
pub(crate) fn count(count: &EventCount) -> v1::EventCount {
    let counts = count.counts.iter();
    let counts =
        counts.map(|(kind, count)| v1::KindCount { kind: kind.clone(), count: seq(*count) });
    v1::EventCount { day: count.day.to_string(), counts: counts.collect() }
}

/// Reads the place after which events are wanted.
pub(crate) fn after(place: i64) -> Result<u64, Problem> {
    u64::try_from(place).map_err(|_| Problem::invalid_field("after_seq", "must not be negative"))
}

/// Reads a time.
pub(crate) fn since(time: &pbjson_types::Timestamp) -> Result<Timestamp, Problem> {
    let nanos = u32::try_from(time.nanos).ok();
    nanos
        .and_then(|nanos| Timestamp::from_timestamp(time.seconds, nanos))
        .ok_or_else(|| Problem::invalid_field("since", "must be a time"))
}

/// Reads the kinds of events that are wanted.
pub(crate) fn kinds(kinds: &[String]) -> Result<Vec<String>, Problem> {
    if kinds.len() > KINDS_MAX {
        let description = format!("must name at most {KINDS_MAX} kinds");
        return Err(Problem::invalid_field("kinds", description));
    }
    let letter = |letter: char| letter.is_ascii_lowercase() || matches!(letter, '_' | '.');
    for (index, kind) in kinds.iter().enumerate() {
        if kind.is_empty() || kind.len() > KIND_LENGTH_MAX || !kind.chars().all(letter) {
            let field = format!("kinds[{index}]");
            return Err(Problem::invalid_field(field, "must be a kind as in order.placed"));
        }
    }
    Ok(kinds.to_vec())
}
