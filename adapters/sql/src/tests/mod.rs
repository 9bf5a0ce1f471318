//! Tests of what the contract's suite cannot see: batches, crashes, files that go away.

mod batches;
mod crash;
mod files;
mod plans;
mod queue;
mod schema;
mod servers;
mod upgrades;

use anyhow::Result;
use chrono::{DateTime, TimeZone, Utc};
use printmill_backend::change::{Change, Expected, Record, RecordWrite, RequestRecord};
use printmill_backend::{TicketGuard, TicketWrite};
use printmill_domain::aggregate::Kind;
use printmill_domain::event::EventDraft;
use printmill_domain::ids::{Id, MerchantId, OrderId, TicketId, derive};
use printmill_domain::lane::Lane;
use printmill_domain::ticket::Ticket;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

fn url(directory: &TempDir, file: &str) -> String {
    format!("sqlite://{}", directory.path().join(file).display())
}

fn now() -> DateTime<Utc> {
    Utc.timestamp_opt(1_800_000_000, 0).unwrap()
}

fn merchant() -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(7))
}

fn order(number: u128) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(number))
}

fn ticket(order: OrderId) -> Ticket {
    let id: TicketId = derive(order.uuid(), "ticket", 1);
    Ticket::new(id, merchant(), Lane::express(), "order.test", json!({}), now())
}

fn write(order: OrderId, version: u64) -> RecordWrite {
    let expected = if version == 1 { Expected::New } else { Expected::Version(version - 1) };
    let record = Record {
        kind: Kind::Order,
        id: order.to_string(),
        merchant: merchant(),
        facility: None,
        version,
        state: "placed".into(),
        created_at: now(),
        updated_at: now(),
        document: json!({ "version": version }).to_string(),
    };
    RecordWrite { record, expected }
}

fn event(order: OrderId, sequence: u64) -> EventDraft {
    EventDraft {
        stream: order.to_string(),
        sequence,
        kind: "order.tested".into(),
        subject: order.to_string(),
        data: json!({}),
    }
}

fn request(id: &str, outcome: OrderId) -> RequestRecord {
    let fingerprint = "0".repeat(64);
    RequestRecord { id: id.into(), fingerprint, outcome: outcome.to_string(), at: now() }
}

/// An order with two events, a ticket, and a request that is named like it.
fn placing(order: OrderId) -> Change {
    let mut change = Change::new(merchant(), now());
    change.records = vec![write(order, 1)];
    change.events = vec![event(order, 1), event(order, 2)];
    change.tickets = vec![TicketWrite { ticket: ticket(order), guard: TicketGuard::New }];
    change.request = Some(request(&order.to_string(), order));
    change
}

fn directory() -> Result<TempDir> {
    Ok(tempfile::tempdir()?)
}
