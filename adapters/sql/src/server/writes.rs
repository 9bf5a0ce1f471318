//! The rows that a batch writes, as JSON arrays: each row once, however many of the batch's
//! changes touch it, and in an order that is the same for all writers.

use crate::sqlite::change_rows::ChangeRows;
use crate::sqlite::decide::{Sort, Stored};
use crate::sqlite::json_array::JsonArray;
use printmill_backend::change::Expected;
use printmill_backend::{BackendError, TicketGuard};
use printmill_domain::aggregate::Kind;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Rows of a table: those that are new, and those that take another's place. Nothing is `None`.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) new: Option<String>,
    pub(crate) changed: Option<String>,
}

/// All rows that a batch writes.
#[derive(Debug)]
pub(crate) struct Writes {
    /// `[id, merchant, facility, version, state, created_at, updated_at, document]`
    pub(crate) records: Vec<(Kind, Rows)>,
    /// As the columns of the table of tickets.
    pub(crate) tickets: Rows,
    /// `[lane, class, merchant, kind, stage, count]`
    pub(crate) counts: Option<String>,
    /// `[merchant, stream, sequence, kind, subject, data, at, trace]`, and one value more.
    pub(crate) events: Option<String>,
    /// `[merchant, id, fingerprint, outcome, at]`
    pub(crate) requests: Option<String>,
}

/// Rows by id: whether it is new, and the last of them.
type ById<'a> = BTreeMap<Cow<'a, str>, (bool, Cow<'a, str>)>;

impl Writes {
    /// The rows of all changes that were let through, with the versions that their tickets get.
    pub(crate) fn of(
        admitted: &[(&ChangeRows, Vec<u64>)],
        stored: &Stored,
    ) -> Result<Self, BackendError> {
        let mut records: Vec<ById<'_>> = Kind::ALL.iter().map(|_| ById::new()).collect();
        let mut tickets = ById::new();
        let (mut events, mut requests) = (JsonArray::new(), JsonArray::new());
        for (change, versions) in admitted {
            for record in &change.records {
                let place = Kind::ALL.iter().position(|kind| *kind == record.kind);
                let of_kind = &mut records[place.unwrap_or_default()];
                let row = Cow::Borrowed(record.row.as_str());
                put(of_kind, Cow::from(&record.id), record.expected == Expected::New, row);
            }
            for (ticket, version) in change.tickets.iter().zip(versions) {
                let new = ticket.guard == TicketGuard::New;
                let id = Cow::from(ticket.ticket.id.to_string());
                put(&mut tickets, id, new, ticket.row(*version)?);
            }
            for event in &change.events {
                events.push(&event.row(event.at));
            }
            if let Some(request) = &change.request {
                requests.push(&request.row);
            }
        }
        let records = Kind::ALL.into_iter().zip(records).filter(|(_, rows)| !rows.is_empty());
        Ok(Self {
            records: records.map(|(kind, rows)| (kind, sorted(&rows))).collect(),
            tickets: sorted(&tickets),
            counts: counts(stored),
            events: some(events),
            requests: some(requests),
        })
    }
}

fn put<'a>(rows: &mut ById<'a>, id: Cow<'a, str>, new: bool, row: Cow<'a, str>) {
    rows.entry(id).or_insert((new, Cow::Borrowed(""))).1 = row;
}

fn sorted(rows: &ById<'_>) -> Rows {
    let of = |wanted: bool| {
        let mut array = JsonArray::new();
        let rows = rows.values().filter(|(new, _)| *new == wanted);
        rows.for_each(|(_, row)| array.push(row));
        some(array)
    };
    Rows { new: of(true), changed: of(false) }
}

fn counts(stored: &Stored) -> Option<String> {
    let moved = stored.counts.iter().filter(|(_, by)| **by != 0);
    let mut rows: Vec<_> = moved
        .map(|((of, stage), by)| {
            let Sort { lane, class, merchant, kind } = of;
            (lane, class.name(), merchant, kind, stage.name(), *by)
        })
        .collect();
    rows.sort_unstable();
    let mut array = JsonArray::new();
    rows.iter().for_each(|row| array.push_row(row));
    some(array)
}

fn some(array: JsonArray) -> Option<String> {
    let array = array.finish();
    (array != "[]").then_some(array)
}
