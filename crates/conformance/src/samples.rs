//! Things to store: ids in a known order, records, events, tickets and changes.

use chrono::TimeDelta;
use printmill_backend::change::{RecordWrite, TicketWrite};
use printmill_backend::database::{Database, EventQuery, Scope};
use printmill_backend::{Change, Expected, Record, RequestRecord, TicketGuard, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Kind;
use printmill_domain::event::{Event, EventDraft};
use printmill_domain::ids::{Id, MerchantId, OrderId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use serde_json::json;

/// A time with microseconds, `seconds` after the others' beginning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let start = Timestamp::from_timestamp(1_767_268_800, 123_456_000).unwrap_or_default();
    start + TimeDelta::seconds(seconds)
}

/// A fresh id that sorts by `number`.
pub(crate) fn id<T: Id>(number: i64) -> T {
    fresh::id(at(number))
}

/// A fresh merchant.
pub(crate) fn merchant() -> MerchantId {
    id(0)
}

/// An order's record, version 1.
pub(crate) fn record(merchant: MerchantId, id: &OrderId) -> Record {
    Record {
        kind: Kind::Order,
        id: id.to_string(),
        merchant,
        facility: None,
        version: 1,
        state: "placed".into(),
        created_at: at(1),
        updated_at: at(2),
        document: json!({ "id": id, "note": "é, \"quoted\" and 日本語" }).to_string(),
    }
}

/// A record that must be new.
pub(crate) fn new(record: Record) -> RecordWrite {
    RecordWrite { record, expected: Expected::New }
}

/// The version after `version`, with another document.
pub(crate) fn next(record: &Record, version: u64, document: &str) -> RecordWrite {
    let document = json!({ "note": document }).to_string();
    let record = Record { version: version + 1, document, ..record.clone() };
    RecordWrite { record, expected: Expected::Version(version) }
}

/// An event of an order.
pub(crate) fn event(stream: &OrderId, sequence: u64) -> EventDraft {
    EventDraft {
        stream: stream.to_string(),
        sequence,
        kind: "order.noted".into(),
        subject: stream.to_string(),
        data: json!({ "sequence": sequence }),
    }
}

/// A lane that only this name has.
pub(crate) fn lane(name: &str) -> Lane {
    Lane::parse(name).unwrap_or_else(Lane::express)
}

/// A queued ticket in the express lane.
pub(crate) fn ticket(merchant: MerchantId) -> Ticket {
    let payload = json!({ "item": "itm", "number": 7 });
    Ticket::new(id(0), merchant, Lane::express(), "item.render", payload, at(0))
}

/// A ticket that must be new.
pub(crate) fn queued(ticket: Ticket) -> TicketWrite {
    TicketWrite { ticket, guard: TicketGuard::New }
}

/// What remembers a request.
pub(crate) fn request(id: &str, outcome: &str) -> RequestRecord {
    RequestRecord {
        id: id.into(),
        fingerprint: format!("fingerprint of {outcome}"),
        outcome: outcome.into(),
        at: at(5),
    }
}

/// A change with records only.
pub(crate) fn records(merchant: MerchantId, records: Vec<RecordWrite>) -> Change {
    Change { records, ..Change::new(merchant, at(3)) }
}

/// A change with events only.
pub(crate) fn events(merchant: MerchantId, events: Vec<EventDraft>) -> Change {
    Change { events, ..Change::new(merchant, at(3)) }
}

/// A change with tickets only.
pub(crate) fn tickets(merchant: MerchantId, tickets: Vec<TicketWrite>) -> Change {
    Change { tickets, ..Change::new(merchant, at(3)) }
}

/// Reads an order's record as its merchant.
pub(crate) async fn read(
    database: &dyn Database,
    merchant: MerchantId,
    id: &OrderId,
) -> anyhow::Result<Option<Record>> {
    Ok(database.get(Scope::Merchant(merchant), Kind::Order, &id.to_string()).await?)
}

/// Reads a ticket.
pub(crate) async fn read_ticket(
    database: &dyn Database,
    id: TicketId,
) -> anyhow::Result<Option<Ticket>> {
    Ok(database.tickets(&[id]).await?.pop())
}

/// Sequences everything, and reads the whole log.
pub(crate) async fn log(database: &dyn Database) -> anyhow::Result<Vec<Event>> {
    while database.sequence(100).await? > 0 {}
    Ok(database.events(EventQuery { limit: 100_000, ..EventQuery::default() }).await?)
}
