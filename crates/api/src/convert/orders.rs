//! Orders and their events on the wire.

use super::quotes::{line, lines};
use super::{currency, etag, id, money, problem, structure, time};
use printmill_domain::address::Recipient;
use printmill_domain::aggregate::Versioned;
use printmill_domain::event::Event;
use printmill_domain::item::{Item, ItemState};
use printmill_domain::lane::Class;
use printmill_domain::order::{Order, OrderState};
use printmill_domain::payment::Payment;
use printmill_domain::problem::{Problem, Violation};
use printmill_domain::routing::Candidate;
use printmill_domain::shipment::{Shipment, Tracking};
use printmill_orders::{Basis, NewOrder};
use printmill_proto::v1;

/// The most lines of an address that are looked at; the domain allows fewer.
const ADDRESS_LINES_MAX: usize = 20;

/// The order that a request places.
pub(crate) fn new_order(request: &v1::CreateOrderRequest) -> Result<NewOrder, Problem> {
    let basis = match (request.quote_id.as_str(), request.items.as_slice()) {
        ("", []) => {
            return Err(Problem::invalid_field("items", "must be given, or else quote_id"));
        }
        ("", items) => {
            Basis::Items { lines: lines(items)?, currency: currency(&request.currency)? }
        }
        (quote, []) => Basis::Quote(id("quote_id", quote)?),
        _ => {
            let both = ["quote_id", "items"].map(|field| Violation {
                field: field.into(),
                description: "must not be given together with the other".into(),
            });
            return Err(Problem::invalid_fields(both.into()));
        }
    };
    let recipient = request.recipient.as_ref();
    let recipient =
        recipient.ok_or_else(|| Problem::invalid_field("recipient", "must be given"))?;
    if recipient.lines.len() > ADDRESS_LINES_MAX {
        return Err(Problem::invalid_field("recipient.lines", "must have 1 to 3 lines"));
    }
    Ok(NewOrder {
        basis,
        recipient: Recipient {
            name: recipient.name.clone(),
            lines: recipient.lines.clone(),
            city: recipient.city.clone(),
            postal_code: recipient.postal_code.clone(),
            region: recipient.region.clone(),
            country: recipient.country.clone(),
        },
        reference: request.reference.clone(),
        payment_method: Some(request.payment_method.clone()).filter(|method| !method.is_empty()),
        class: class(request.priority()),
    })
}

fn class(priority: v1::OrderPriority) -> Class {
    match priority {
        v1::OrderPriority::Urgent => Class::Urgent,
        v1::OrderPriority::Unspecified | v1::OrderPriority::Standard => Class::Standard,
        v1::OrderPriority::Bulk => Class::Bulk,
    }
}

fn priority(class: Class) -> v1::OrderPriority {
    match class {
        Class::Urgent => v1::OrderPriority::Urgent,
        Class::Standard => v1::OrderPriority::Standard,
        Class::Bulk => v1::OrderPriority::Bulk,
    }
}

/// Who receives it.
pub(crate) fn recipient(recipient: &Recipient) -> v1::Recipient {
    v1::Recipient {
        name: recipient.name.clone(),
        lines: recipient.lines.clone(),
        city: recipient.city.clone(),
        postal_code: recipient.postal_code.clone(),
        region: recipient.region.clone(),
        country: recipient.country.clone(),
    }
}

/// An order.
pub(crate) fn order(order: &Versioned<Order>) -> v1::Order {
    v1::Order {
        id: order.id.to_string(),
        reference: order.reference.clone(),
        state: order_state(order.state).into(),
        recipient: Some(recipient(&order.recipient)),
        items: order.items.iter().map(item).collect(),
        shipping: money(order.shipping),
        total: money(order.total),
        payments: order.payments.iter().map(payment).collect(),
        shipments: order.shipments.iter().map(shipment).collect(),
        quote_id: order.quote.map(|quote| quote.to_string()).unwrap_or_default(),
        create_time: time(order.created_at),
        sequence: order.sequence as i64,
        etag: etag(order.version),
        priority: priority(order.class).into(),
    }
}

fn order_state(state: OrderState) -> v1::OrderState {
    match state {
        OrderState::AwaitingPayment => v1::OrderState::AwaitingPayment,
        OrderState::Paid => v1::OrderState::Paid,
        OrderState::InProduction => v1::OrderState::InProduction,
        OrderState::PartlyShipped => v1::OrderState::PartlyShipped,
        OrderState::Shipped => v1::OrderState::Shipped,
        OrderState::Delivered => v1::OrderState::Delivered,
        OrderState::Cancelled => v1::OrderState::Cancelled,
    }
}

/// The state that a list is filtered by, as it is stored; nothing for all.
pub(crate) fn state_filter(state: v1::OrderState) -> Option<&'static str> {
    let state = match state {
        v1::OrderState::Unspecified => return None,
        v1::OrderState::AwaitingPayment => OrderState::AwaitingPayment,
        v1::OrderState::Paid => OrderState::Paid,
        v1::OrderState::InProduction => OrderState::InProduction,
        v1::OrderState::PartlyShipped => OrderState::PartlyShipped,
        v1::OrderState::Shipped => OrderState::Shipped,
        v1::OrderState::Delivered => OrderState::Delivered,
        v1::OrderState::Cancelled => OrderState::Cancelled,
    };
    Some(state.name())
}

fn item(item: &Item) -> v1::Item {
    let state = match item.state {
        ItemState::AwaitingPayment => v1::ItemState::AwaitingPayment,
        ItemState::Queued => v1::ItemState::Queued,
        ItemState::Routed => v1::ItemState::Routed,
        ItemState::Rendered => v1::ItemState::Rendered,
        ItemState::Accepted => v1::ItemState::Accepted,
        ItemState::Printing => v1::ItemState::Printing,
        ItemState::Shipped => v1::ItemState::Shipped,
        ItemState::Delivered => v1::ItemState::Delivered,
        ItemState::Cancelled => v1::ItemState::Cancelled,
    };
    let route = item.route.as_ref();
    let file = item.file.as_ref();
    v1::Item {
        id: item.id.to_string(),
        line: Some(line(&item.line)),
        state: state.into(),
        facility_id: route.map(|route| route.facility.to_string()).unwrap_or_default(),
        route_reason: route.map(|route| route.reason.clone()).unwrap_or_default(),
        print_job_id: item.print_job.map(|job| job.to_string()).unwrap_or_default(),
        file_sha256: file.map(|file| file.sha256.clone()).unwrap_or_default(),
        file_size: file.map(|file| file.size as i64).unwrap_or_default(),
        issue: item.issue.as_ref().map(problem),
        candidates: route.iter().flat_map(|it| &it.candidates).map(candidate).collect(),
    }
}

fn candidate(candidate: &Candidate) -> v1::RouteCandidate {
    v1::RouteCandidate {
        facility_id: candidate.facility.to_string(),
        name: candidate.name.clone(),
        distance_km: candidate.distance_km,
        excluded: candidate.excluded.clone().unwrap_or_default(),
    }
}

fn payment(payment: &Payment) -> v1::Payment {
    v1::Payment {
        id: payment.id.to_string(),
        method: payment.method.clone(),
        amount: money(payment.amount),
        state: payment.state.name().into(),
        reference: payment.reference.clone().unwrap_or_default(),
        decline_reason: payment.decline_reason.clone().unwrap_or_default(),
    }
}

fn shipment(shipment: &Shipment) -> v1::Shipment {
    v1::Shipment {
        id: shipment.id.to_string(),
        print_job_id: shipment.print_job.to_string(),
        state: shipment.state.name().into(),
        tracking: Some(tracking(&shipment.tracking)),
        ship_time: time(shipment.shipped_at),
    }
}

/// How to follow a parcel.
pub(crate) fn tracking(tracking: &Tracking) -> v1::Tracking {
    v1::Tracking {
        carrier: tracking.carrier.clone(),
        number: tracking.number.clone(),
        url: tracking.url.clone(),
    }
}

/// Something that happened.
pub(crate) fn event(event: &Event) -> v1::OrderEvent {
    v1::OrderEvent {
        id: event.id.to_string(),
        sequence: event.draft.sequence as i64,
        kind: event.draft.kind.clone(),
        subject: event.draft.subject.clone(),
        data: structure(&event.draft.data),
        time: time(event.at),
    }
}

/// Reads the sequence after which events are wanted.
pub(crate) fn after(sequence: i64) -> Result<u64, Problem> {
    u64::try_from(sequence)
        .map_err(|_| Problem::invalid_field("after_sequence", "must not be negative"))
}
