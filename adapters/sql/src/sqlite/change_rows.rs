//! A change as the writer takes it: keys and guards to check, and rows ready to insert.
//!
//! Rows are JSON arrays that `json_each` unfolds, rendered by the caller, so that the one writer
//! only joins them: a statement then writes all rows of a batch at once.

use crate::error::SQL;
use printmill_backend::change::{Expected, RecordWrite, TicketWrite};
use printmill_backend::{BackendError, Change, Fault, RequestRecord, TicketGuard};
use printmill_domain::aggregate::Kind;
use printmill_domain::event::{EventDraft, stream_uuid};
use printmill_domain::ticket::{Stage, Ticket};
use serde::Serialize;
use std::borrow::Cow;

/// A record to write.
#[derive(Debug)]
pub(crate) struct RecordRow {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) expected: Expected,
    pub(crate) version: u64,
    pub(crate) row: String,
}

/// What guards of tickets look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) version: u64,
    pub(crate) stage: Stage,
    pub(crate) attempt: u32,
    pub(crate) token: Option<u64>,
}

/// A ticket to write.
#[derive(Debug)]
pub(crate) struct TicketRow {
    pub(crate) ticket: Ticket,
    pub(crate) guard: TicketGuard,
    row: String,
}

impl TicketRow {
    /// What guards will look at once it is written.
    pub(crate) fn after(&self) -> Holding {
        Holding {
            version: self.ticket.version,
            stage: self.ticket.stage(),
            attempt: self.ticket.attempt,
            token: self.ticket.token,
        }
    }

    /// The row with a version, which is almost always the one that it has.
    pub(crate) fn row(&self, version: u64) -> Result<Cow<'_, str>, BackendError> {
        if version == self.ticket.version {
            return Ok(Cow::Borrowed(&self.row));
        }
        let ticket = Ticket { version, ..self.ticket.clone() };
        render_ticket(&ticket).map(Cow::Owned)
    }
}

/// An event to append.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    pub(crate) at: i64,
    /// The row but for its last value.
    row: String,
}

impl EventRow {
    /// The row, with the latest time of all events up to this one.
    pub(crate) fn row(&self, latest: i64) -> String {
        format!("{},{latest}]", self.row)
    }
}

/// A request to remember.
#[derive(Debug)]
pub(crate) struct RequestRow {
    pub(crate) request: RequestRecord,
    pub(crate) row: String,
}

/// A change with its rows rendered.
#[derive(Debug)]
pub(crate) struct ChangeRows {
    pub(crate) merchant: String,
    pub(crate) records: Vec<RecordRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) tickets: Vec<TicketRow>,
    pub(crate) request: Option<RequestRow>,
}

impl ChangeRows {
    /// Renders a change. Text with a NUL and numbers beyond 63 bits are refused: they would not
    /// come back as they went in.
    pub(crate) fn of(change: Change) -> Result<Self, BackendError> {
        let merchant = change.merchant.to_string();
        let at = change.at.timestamp_micros();
        let trace = change.trace.as_deref();
        let events = change.events.into_iter().map(|event| event_row(&merchant, at, trace, event));
        let events = events.collect::<Result<_, _>>()?;
        let records = change.records.into_iter().map(record_row).collect::<Result<_, _>>()?;
        let tickets = change.tickets.into_iter().map(ticket_row).collect::<Result<_, _>>()?;
        let request = change.request.map(|request| request_row(&merchant, request)).transpose()?;
        Ok(Self { merchant, records, events, tickets, request })
    }
}

fn record_row(write: RecordWrite) -> Result<RecordRow, BackendError> {
    let RecordWrite { record, expected } = write;
    let row = render(&(
        &record.id,
        record.merchant,
        record.facility,
        signed(record.version)?,
        &record.state,
        record.created_at.timestamp_micros(),
        record.updated_at.timestamp_micros(),
        &record.document,
    ))?;
    Ok(RecordRow { kind: record.kind, id: record.id, expected, version: record.version, row })
}

fn event_row(
    merchant: &str,
    at: i64,
    trace: Option<&str>,
    event: EventDraft,
) -> Result<EventRow, BackendError> {
    if stream_uuid(&event.stream).is_none() {
        return Err(rejected(format!("'{}' is not the id of a stream", event.stream)));
    }
    let data = json(&event.data)?;
    let mut row = render(&(
        merchant,
        &event.stream,
        signed(event.sequence)?,
        &event.kind,
        &event.subject,
        data,
        at,
        trace,
    ))?;
    // The array stays open for one more value.
    row.pop();
    Ok(EventRow { stream: event.stream, sequence: event.sequence, at, row })
}

fn ticket_row(write: TicketWrite) -> Result<TicketRow, BackendError> {
    let TicketWrite { ticket, guard } = write;
    let row = render_ticket(&ticket)?;
    Ok(TicketRow { ticket, guard, row })
}

fn render_ticket(ticket: &Ticket) -> Result<String, BackendError> {
    let document = json(ticket)?;
    render(&(
        ticket.id,
        ticket.merchant,
        ticket.lane.as_str(),
        &ticket.kind,
        ticket.state.name(),
        ticket.attempt,
        ticket.token.map(u64::cast_signed),
        ticket.lease_until.map(|at| at.timestamp_micros()),
        ticket.due_at.timestamp_micros(),
        ticket.sent_at.map(|at| at.timestamp_micros()),
        signed(ticket.version)?,
        ticket.created_at.timestamp_micros(),
        ticket.class.name(),
        ticket.stage().name(),
        document,
    ))
}

fn request_row(merchant: &str, request: RequestRecord) -> Result<RequestRow, BackendError> {
    let at = request.at.timestamp_micros();
    let row = render(&(merchant, &request.id, &request.fingerprint, &request.outcome, at))?;
    Ok(RequestRow { request, row })
}

fn signed(number: u64) -> Result<i64, BackendError> {
    i64::try_from(number).map_err(|_| rejected(format!("{number} is too large a number")))
}

fn json(value: &impl Serialize) -> Result<String, BackendError> {
    serde_json::to_string(value)
        .map_err(|error| rejected("it cannot be written as JSON").because(error))
}

/// JSON writes a NUL as `\u0000`, at which `json_each` would cut the text off. After another
/// backslash the same characters belong to JSON within the text and are harmless.
fn render(row: &impl Serialize) -> Result<String, BackendError> {
    let row = json(row)?;
    let holds_nul = row.match_indices("\\u0000").any(|(at, _)| {
        let before = row.as_bytes()[..at].iter().rev();
        before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    });
    if holds_nul {
        return Err(rejected("text with a NUL character cannot be stored"));
    }
    Ok(row)
}

fn rejected(detail: impl Into<String>) -> BackendError {
    BackendError::new(Fault::Rejected, SQL, "commit a change", detail)
}
