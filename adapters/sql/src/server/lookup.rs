//! What a batch of changes touches, and what is stored of it.

use crate::error;
use crate::sqlite::change_rows::{ChangeRows, EventRow, Holding, TicketRow};
use crate::sqlite::decide::Stored;
use crate::sqlite::json_array::JsonArray;
use chrono::DateTime;
use printmill_backend::{BackendError, RequestRecord};
use printmill_domain::aggregate::Kind;
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::ticket::Stage;
use std::borrow::Cow;
use std::collections::BTreeSet;

const OPERATION: &str = "commit a change";

/// A table that a batch looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Records of a kind.
    Records(Kind),
    Tickets,
    Events,
    Requests,
}

impl Place {
    /// All of them, in the order in which their rows are locked.
    pub(crate) fn all() -> impl Iterator<Item = Place> {
        Kind::ALL.into_iter().map(Place::Records).chain([
            Place::Tickets,
            Place::Events,
            Place::Requests,
        ])
    }

    /// A number that answers of queries begin with.
    pub(crate) fn number(self) -> usize {
        Self::all().position(|place| place == self).unwrap_or_default()
    }

    fn of_number(number: i64) -> Option<Self> {
        Self::all().nth(usize::try_from(number).ok()?)
    }
}

/// The keys that a batch touches, as JSON arrays in order: of ids, `[stream, sequence]`, and
/// `[merchant, id]`.
#[derive(Debug)]
pub(crate) struct Keys {
    places: Vec<(Place, String)>,
}

impl Keys {
    pub(crate) fn of(batch: &[&ChangeRows]) -> Self {
        let places = Place::all().filter_map(|place| Some((place, array(place, batch)?)));
        Self { places: places.collect() }
    }

    /// The places in streams that changes take, if there are any.
    pub(crate) fn events_of(changes: &[&ChangeRows]) -> Option<String> {
        array(Place::Events, changes)
    }

    /// What is touched, and by which keys.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, &str)> {
        self.places.iter().map(|(place, keys)| (*place, keys.as_str()))
    }
}

fn array(place: Place, batch: &[&ChangeRows]) -> Option<String> {
    let keys = keys(place, batch);
    let mut array = JsonArray::new();
    for (text, number, second) in &keys {
        match (number, second) {
            (Some(number), _) => array.push_row(&(text, number)),
            (None, Some(second)) => array.push_row(&(text, second)),
            (None, None) => array.push_row(text),
        }
    }
    (!keys.is_empty()).then(|| array.finish())
}

type Key<'a> = (Cow<'a, str>, Option<u64>, Option<&'a str>);

fn keys<'a>(place: Place, batch: &[&'a ChangeRows]) -> BTreeSet<Key<'a>> {
    let of = |change: &&'a ChangeRows| -> Vec<Key<'a>> {
        let change: &'a ChangeRows = change;
        match place {
            Place::Records(kind) => {
                let records = change.records.iter().filter(|record| record.kind == kind);
                records.map(|record| (Cow::from(&record.id), None, None)).collect()
            }
            Place::Tickets => {
                let id = |ticket: &TicketRow| Cow::from(ticket.ticket.id.to_string());
                change.tickets.iter().map(|ticket| (id(ticket), None, None)).collect()
            }
            Place::Events => {
                let events = change.events.iter();
                let key =
                    |event: &'a EventRow| (Cow::from(&event.stream), Some(event.sequence), None);
                events.map(key).collect()
            }
            Place::Requests => {
                let requests = change.request.iter();
                let key = |id: &'a str| (Cow::from(&change.merchant), None, Some(id));
                requests.map(|row| key(&row.request.id)).collect()
            }
        }
    };
    batch.iter().flat_map(of).collect()
}

/// A row that was found, whatever the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: i64,
    /// The id, stream or merchant.
    pub(crate) key: String,
    /// The stage of a ticket; id, fingerprint and outcome of a request.
    pub(crate) texts: [Option<String>; 3],
    /// The version, sequence or time.
    pub(crate) number: i64,
    pub(crate) attempt: Option<i64>,
    pub(crate) token: Option<i64>,
}

/// What is stored of everything that a batch touches.
pub(crate) fn stored(rows: impl IntoIterator<Item = Found>) -> Result<Stored, BackendError> {
    let mut stored = Stored::default();
    for row in rows {
        take(&mut stored, row)?;
    }
    Ok(stored)
}

fn take(stored: &mut Stored, row: Found) -> Result<(), BackendError> {
    let Found { place, key, texts, number, attempt, token } = row;
    let [first, second, third] = texts.map(Option::unwrap_or_default);
    let unsigned = u64::try_from(number).unwrap_or_default();
    let place = Place::of_number(place)
        .ok_or_else(|| error::corrupt(OPERATION, format!("there is no table {place}")))?;
    match place {
        Place::Records(kind) => {
            stored.records.entry(kind).or_default().insert(key, unsigned);
        }
        Place::Events => {
            stored.events.entry(key).or_default().insert(unsigned);
        }
        Place::Requests => {
            let request = RequestRecord {
                id: first,
                fingerprint: second,
                outcome: third,
                at: DateTime::from_timestamp_micros(number).unwrap_or_default(),
            };
            stored.requests.entry(key).or_default().insert(request.id.clone(), request);
        }
        Place::Tickets => {
            let id = TicketId::parse(&key)
                .map_err(|error| error::corrupt(OPERATION, error.to_string()))?;
            let stage = Stage::from_name(&first)
                .ok_or_else(|| error::corrupt(OPERATION, format!("'{first}' is no stage")))?;
            let holding = Holding {
                version: unsigned,
                stage,
                attempt: attempt.and_then(|it| u32::try_from(it).ok()).unwrap_or(u32::MAX),
                token: token.map(i64::cast_unsigned),
            };
            stored.tickets.insert(id, holding);
        }
    }
    Ok(())
}
