//! What must hold of every order, and after every step of one.

use crate::history::Life;
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::ids::Id;
use printmill_domain::item::ItemState;
use printmill_domain::money::Money;
use printmill_domain::order::{Order, OrderState};
use printmill_domain::order_command::OrderCommand;
use printmill_domain::payment::PaymentState;
use printmill_domain::print_job::PrintJob;
use printmill_domain::problem::Problem;
use printmill_domain::shipment::ShipmentState;
use std::collections::BTreeSet;

impl Life for Order {
    type Command = OrderCommand;

    fn decide(&self, command: OrderCommand, now: Timestamp) -> Result<Decided<Self>, Problem> {
        Order::decide(self, command, now)
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.sequence)
    }

    fn check(&self) {
        check_state(self);
        check_money(self);
        check_items(self);
        check_shipments(self);
    }

    fn check_step(&self, next: &Self) {
        assert!(self.state <= next.state, "{:?} to {:?}", self.state, next.state);
        assert_eq!(self.items.len(), next.items.len());
        for (before, after) in self.items.iter().zip(&next.items) {
            assert_eq!((before.id, &before.line), (after.id, &after.line));
            let moved = before.state == after.state || before.state.may_become(after.state);
            assert!(moved, "{:?} to {:?}", before.state, after.state);
            assert!(before.state <= after.state);
            if before.route.is_some() {
                assert_eq!(before.route, after.route, "a route is chosen once");
            }
            if before.file.is_some() {
                assert_eq!(before.file, after.file, "a file is made once");
            }
        }
        for (index, before) in self.payments.iter().enumerate() {
            let after = &next.payments[index];
            assert_eq!((before.id, &before.method), (after.id, &after.method));
            assert!(before == after || before.state == PaymentState::Pending, "settled once");
        }
        for (index, before) in self.shipments.iter().enumerate() {
            let after = &next.shipments[index];
            let parcel = |s: &printmill_domain::shipment::Shipment| {
                (s.id, s.print_job, s.tracking.clone(), s.shipped_at)
            };
            assert_eq!(parcel(before), parcel(after));
            assert!(before.state <= after.state);
        }
        let terms = |order: &Order| {
            (
                order.total,
                order.shipping,
                order.quote,
                order.recipient.clone(),
                order.reference.clone(),
            )
        };
        assert_eq!(terms(self), terms(next), "what was agreed stays");
    }
}

/// The order's state, in words of its items.
fn check_state(order: &Order) {
    let all = |fits: fn(ItemState) -> bool| order.items.iter().all(|item| fits(item.state));
    let any = |fits: fn(ItemState) -> bool| order.items.iter().any(|item| fits(item.state));
    let gone = |state| matches!(state, ItemState::Shipped | ItemState::Delivered);
    assert!(!order.items.is_empty());
    assert_eq!(order.state, OrderState::of_items(&order.items));
    match order.state {
        OrderState::AwaitingPayment => assert!(all(|state| state == ItemState::AwaitingPayment)),
        OrderState::Cancelled => assert!(all(|state| state == ItemState::Cancelled)),
        OrderState::Delivered => assert!(all(|state| state == ItemState::Delivered)),
        OrderState::Shipped => assert!(all(gone) && any(|state| state == ItemState::Shipped)),
        OrderState::PartlyShipped => assert!(any(gone) && !all(gone)),
        OrderState::InProduction => {
            assert!(any(|s| matches!(s, ItemState::Accepted | ItemState::Printing)) && !any(gone));
        }
        OrderState::Paid => assert!(all(|state| matches!(
            state,
            ItemState::Queued | ItemState::Routed | ItemState::Rendered
        ))),
    }
}

fn check_money(order: &Order) {
    let lines = order.items.iter().map(|item| item.line.total.minor).sum::<i64>();
    assert_eq!(order.total.minor, lines + order.shipping.minor);
    let not_declined: Vec<_> =
        order.payments.iter().filter(|p| p.state != PaymentState::Declined).collect();
    assert!(not_declined.len() <= 1, "two charges: {not_declined:?}");
    let paid = not_declined.iter().any(|payment| payment.state == PaymentState::Paid);
    let begun = !matches!(order.state, OrderState::AwaitingPayment | OrderState::Cancelled);
    assert_eq!(paid, begun, "work begins when it is paid, and only then");
    if order.state == OrderState::Cancelled {
        assert!(not_declined.is_empty(), "cancelled, but charged: {not_declined:?}");
    }
    let ids: BTreeSet<_> = order.payments.iter().map(|payment| payment.id).collect();
    assert_eq!(ids.len(), order.payments.len());
    for payment in &order.payments {
        assert_eq!(payment.amount, order.total);
        assert_ne!(payment.amount, Money::zero(payment.amount.currency));
        let said = (payment.reference.is_some(), payment.decline_reason.is_some());
        let expected = match payment.state {
            PaymentState::Pending => (false, false),
            PaymentState::Paid => (true, false),
            PaymentState::Declined => (false, true),
        };
        assert_eq!(said, expected);
    }
}

fn check_items(order: &Order) {
    for item in &order.items {
        let reached = |state| item.state >= state && item.state != ItemState::Cancelled;
        assert_eq!(item.route.is_some(), reached(ItemState::Routed));
        let job = reached(ItemState::Routed).then(|| PrintJob::id_for(item.id));
        assert_eq!(item.print_job, job);
        assert_eq!(item.file.is_some(), reached(ItemState::Rendered));
    }
}

fn check_shipments(order: &Order) {
    let ids: BTreeSet<_> = order.shipments.iter().map(|shipment| shipment.id.uuid()).collect();
    assert_eq!(ids.len(), order.shipments.len());
    for item in &order.items {
        let job = PrintJob::id_for(item.id);
        let parcels: Vec<_> = order.shipments.iter().filter(|s| s.print_job == job).collect();
        match (item.state, parcels.as_slice()) {
            (ItemState::Shipped, [one]) => assert_eq!(one.state, ShipmentState::Shipped),
            (ItemState::Delivered, [one]) => assert_eq!(one.state, ShipmentState::Delivered),
            (state, parcels) => {
                assert!(
                    parcels.is_empty() && state != ItemState::Shipped,
                    "{state:?}: {parcels:?}"
                );
                assert_ne!(state, ItemState::Delivered);
            }
        }
    }
}
