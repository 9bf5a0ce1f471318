//! What can happen to an order after it was placed, and what each command does.

use crate::Timestamp;
use crate::aggregate::Decided;
use crate::asset::BlobRef;
use crate::event::{EventDraft, Stream};
use crate::ids::{Id, ItemId, PaymentId, ShipmentId, derive};
use crate::item::{Item, ItemState};
use crate::lane::Lane;
use crate::order::{Order, OrderState};
use crate::payment::{ChargeOutcome, PaymentState};
use crate::print_job::PrintJob;
use crate::problem::Problem;
use crate::routing::Route;
use crate::shipment::{Shipment, ShipmentState, Tracking};
use crate::ticket::Ticket;
use serde_json::{Value, json};

/// The kind of ticket that asks for facilities to be chosen.
pub const ROUTE: &str = "order.route";
/// The kind of ticket that asks for a print-ready file.
pub const RENDER: &str = "item.render";

/// A command to an order.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderCommand {
    /// Charge it by a method.
    RequestPayment {
        /// The method, in the gateway's words.
        method: String,
    },
    /// The gateway answered.
    RecordPayment {
        /// Which attempt.
        payment: PaymentId,
        /// Its answer.
        outcome: ChargeOutcome,
    },
    /// Facilities were chosen for items.
    Route {
        /// Each item and its route.
        routes: Vec<(ItemId, Route)>,
    },
    /// An item's print-ready file is there.
    RecordFile {
        /// The item.
        item: ItemId,
        /// The file.
        file: BlobRef,
    },
    /// The facility took the item on.
    RecordAccepted {
        /// The item.
        item: ItemId,
    },
    /// It is on the press.
    RecordPrinting {
        /// The item.
        item: ItemId,
    },
    /// The carrier has it.
    RecordShipped {
        /// The item.
        item: ItemId,
        /// How to follow the parcel.
        tracking: Tracking,
    },
    /// The recipient has it.
    RecordDelivered {
        /// The item.
        item: ItemId,
    },
    /// A person must look at an item.
    RaiseIssue {
        /// The item.
        item: ItemId,
        /// Why.
        problem: Problem,
    },
    /// It is not wanted any more.
    Cancel,
}

impl Order {
    /// Decides what a command does. Reports that come late or twice change nothing.
    pub fn decide(&self, command: OrderCommand, now: Timestamp) -> Result<Decided<Order>, Problem> {
        match command {
            OrderCommand::RequestPayment { method } => self.request_payment(method, now),
            OrderCommand::RecordPayment { payment, outcome } => {
                self.record_payment(payment, &outcome, now)
            }
            OrderCommand::Route { routes } => self.record_routes(routes, now),
            OrderCommand::RecordFile { item, file } => {
                let data = json!(file);
                self.step(item, ItemState::Rendered, "item.rendered", data, |item| {
                    item.file = Some(file);
                    item.issue = None;
                })
            }
            OrderCommand::RecordAccepted { item } => {
                self.step(item, ItemState::Accepted, "print_job.accepted", json!({}), |_| {})
            }
            OrderCommand::RecordPrinting { item } => {
                self.step(item, ItemState::Printing, "print_job.printing", json!({}), |_| {})
            }
            OrderCommand::RecordShipped { item, tracking } => {
                self.record_shipped(item, tracking, now)
            }
            OrderCommand::RecordDelivered { item } => self.record_delivered(item),
            OrderCommand::RaiseIssue { item, problem } => self.raise_issue(item, problem),
            OrderCommand::Cancel => self.cancel(),
        }
    }

    fn record_payment(
        &self,
        payment: PaymentId,
        outcome: &ChargeOutcome,
        now: Timestamp,
    ) -> Result<Decided<Order>, Problem> {
        let at = self.payments.iter().position(|known| known.id == payment);
        let at = at.ok_or_else(|| Problem::not_found("payment", payment))?;
        let settled = self.payments[at].settle(outcome)?;
        if settled == self.payments[at] {
            return Ok(Decided::quiet(self.clone()));
        }
        let mut next = self.clone();
        next.payments[at] = settled;
        let mut stream = Stream::new(self.id, &mut next.sequence);
        let mut tickets = vec![];
        match outcome {
            ChargeOutcome::Paid { reference } => {
                stream.push("payment.paid", payment, json!({ "reference": reference }));
                stream.push("order.paid", self.id, json!({ "total": self.total }));
                let ticket_id = derive(self.id.uuid(), ROUTE, 0);
                let payload = json!({ "order": self.id });
                let lane = Lane::express();
                let ticket = Ticket::new(ticket_id, self.merchant, lane, ROUTE, payload, now);
                tickets.push(ticket.of_class(self.class));
            }
            ChargeOutcome::Declined { reason } => {
                stream.push("payment.declined", payment, json!({ "reason": reason }));
            }
        }
        let events = stream.finish();
        if next.payments[at].state == PaymentState::Paid {
            for item in &mut next.items {
                advance(item, ItemState::Queued)?;
            }
        }
        next.state = OrderState::of_items(&next.items);
        Ok(Decided { state: next, events, tickets })
    }

    fn record_routes(
        &self,
        routes: Vec<(ItemId, Route)>,
        now: Timestamp,
    ) -> Result<Decided<Order>, Problem> {
        let mut decided = Decided::quiet(self.clone());
        for (id, route) in routes {
            let job = PrintJob::id_for(id);
            let data = json!({
                "facility": route.facility, "reason": route.reason, "print_job": job,
            });
            let routed = route.clone();
            let step =
                decided.state.step(id, ItemState::Routed, "item.routed", data, move |item| {
                    item.route = Some(routed);
                    item.print_job = Some(job);
                    item.issue = None;
                })?;
            if step.is_quiet() {
                continue;
            }
            decided.state = step.state;
            decided.events.extend(step.events);
            let ticket = Ticket::new(
                derive(id.uuid(), RENDER, 0),
                self.merchant,
                Lane::render(),
                RENDER,
                json!({ "order": self.id, "item": id, "job": job }),
                now,
            );
            decided.tickets.push(ticket.of_class(self.class));
        }
        Ok(decided)
    }

    fn record_shipped(
        &self,
        item: ItemId,
        tracking: Tracking,
        now: Timestamp,
    ) -> Result<Decided<Order>, Problem> {
        tracking.check("tracking")?;
        let data = json!(tracking);
        let mut decided = self.step(item, ItemState::Shipped, "print_job.shipped", data, |_| {})?;
        if decided.is_quiet() {
            return Ok(decided);
        }
        let order = &mut decided.state;
        let print_job = PrintJob::id_for(item);
        let id = derive::<ShipmentId>(print_job.uuid(), "shipment", 1);
        let shipment =
            Shipment { id, print_job, state: ShipmentState::Shipped, tracking, shipped_at: now };
        order.shipments.push(shipment);
        if order.state == OrderState::Shipped {
            let mut stream = Stream::new(self.id, &mut order.sequence);
            stream.push("order.shipped", self.id, json!({ "parcels": order.shipments.len() }));
            decided.events.extend(stream.finish());
        }
        Ok(decided)
    }

    fn record_delivered(&self, item: ItemId) -> Result<Decided<Order>, Problem> {
        let print_job = PrintJob::id_for(item);
        let step =
            self.step(item, ItemState::Delivered, "shipment.delivered", json!({}), |_| {})?;
        let mut decided = step;
        for shipment in &mut decided.state.shipments {
            if shipment.print_job == print_job {
                shipment.state = shipment.state.advance(ShipmentState::Delivered);
            }
        }
        Ok(decided)
    }

    fn raise_issue(&self, item: ItemId, problem: Problem) -> Result<Decided<Order>, Problem> {
        if self.item(item)?.issue.as_ref() == Some(&problem) {
            return Ok(Decided::quiet(self.clone()));
        }
        let mut next = self.clone();
        let mut stream = Stream::new(self.id, &mut next.sequence);
        stream.push("item.needs_attention", item, json!(problem));
        let events = stream.finish();
        for known in next.items.iter_mut().filter(|known| known.id == item) {
            known.issue = Some(problem.clone());
        }
        Ok(Decided { state: next, events, tickets: vec![] })
    }

    fn cancel(&self) -> Result<Decided<Order>, Problem> {
        if self.state == OrderState::Cancelled {
            return Ok(Decided::quiet(self.clone()));
        }
        let charging = self.payments.iter().any(|known| known.state == PaymentState::Pending);
        if self.state != OrderState::AwaitingPayment || charging {
            return Err(Problem::invalid_state(
                format!("{} is paid or being paid and cannot be cancelled", self.id),
                "let it finish; only orders that nobody has begun to pay can be cancelled",
            ));
        }
        let mut next = self.clone();
        for item in &mut next.items {
            advance(item, ItemState::Cancelled)?;
        }
        next.state = OrderState::of_items(&next.items);
        let mut stream = Stream::new(self.id, &mut next.sequence);
        stream.push("order.cancelled", self.id, json!({}));
        let events = stream.finish();
        Ok(Decided { state: next, events, tickets: vec![] })
    }

    /// Moves one item on, with one event. An item that is there or further stays as it is.
    fn step(
        &self,
        id: ItemId,
        target: ItemState,
        event: &str,
        data: Value,
        change: impl FnOnce(&mut Item),
    ) -> Result<Decided<Order>, Problem> {
        let current = self.item(id)?.state;
        if current >= target && current != ItemState::Cancelled {
            return Ok(Decided::quiet(self.clone()));
        }
        let mut next = self.clone();
        for item in next.items.iter_mut().filter(|item| item.id == id) {
            advance(item, target)?;
        }
        if let Some(item) = next.items.iter_mut().find(|item| item.id == id) {
            change(item);
        }
        let events = item_event(self, &mut next, id, event, data);
        next.state = OrderState::of_items(&next.items);
        Ok(Decided { state: next, events, tickets: vec![] })
    }
}

fn item_event(
    order: &Order,
    next: &mut Order,
    item: ItemId,
    kind: &str,
    mut data: Value,
) -> Vec<EventDraft> {
    if let Some(details) = data.as_object_mut() {
        details.insert("item".into(), json!(item));
    }
    let subject = match next.items.iter().find(|known| known.id == item) {
        Some(Item { print_job: Some(job), .. }) if !kind.starts_with("item.") => job.to_string(),
        _ => item.to_string(),
    };
    let mut stream = Stream::new(order.id, &mut next.sequence);
    stream.push(kind, subject, data);
    stream.finish()
}

fn advance(item: &mut Item, target: ItemState) -> Result<(), Problem> {
    if !item.state.may_become(target) {
        return Err(Problem::invalid_state(
            format!("{} cannot become {} from {}", item.id, target.name(), item.state.name()),
            "nothing needs to be done, unless the order shows an issue",
        ));
    }
    item.state = target;
    Ok(())
}
