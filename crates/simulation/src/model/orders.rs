//! Orders: each comes to exactly one end, is paid once, and each of its items is made once.

use super::Findings;
use crate::ending::Ending;
use crate::history::What;
use printmill_domain::aggregate::Kind;
use printmill_domain::item::{Item, ItemState};
use printmill_domain::order::{Order, OrderState};
use printmill_domain::payment::PaymentState;
use printmill_domain::print_job::{PrintJob, PrintJobState};
use printmill_domain::ticket::TicketState;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    for order in &ending.orders {
        let attention = needs_attention(ending, order);
        findings.unless(attention || has_ended(order), || {
            format!("{} came to no end: it is {}", order.id, order.state.name())
        });
        money(ending, order, attention, findings);
        let jobs: Vec<_> = ending.jobs.iter().filter(|job| job.order == order.id).collect();
        for item in &order.items {
            made_once(order, item, &jobs, findings);
        }
    }
    let orders = ending.orders.iter();
    let payments: Vec<_> = orders.flat_map(|order| &order.payments).map(|it| it.id).collect();
    for stray in ending.paid.keys().filter(|payment| !payments.contains(payment)) {
        findings.add(format!("{stray} was charged, and no order has it"));
    }
    versions(ending, findings);
    printing(ending, findings);
}

/// Whether work on it was given up, and it says so.
fn needs_attention(ending: &Ending, order: &Order) -> bool {
    let id = order.id.to_string();
    let mut dead = ending.tickets.iter().filter(|ticket| {
        ticket.state == TicketState::Dead && ticket.payload["order"].as_str() == Some(&id)
    });
    dead.next().is_some() && order.items.iter().any(|item| item.issue.is_some())
}

/// Whether nothing more will happen to it by itself.
fn has_ended(order: &Order) -> bool {
    let declined = |state| state == PaymentState::Declined;
    match order.state {
        OrderState::Shipped | OrderState::Delivered | OrderState::Cancelled => true,
        OrderState::AwaitingPayment => order.payments.iter().all(|it| declined(it.state)),
        OrderState::Paid | OrderState::InProduction | OrderState::PartlyShipped => false,
    }
}

fn money(ending: &Ending, order: &Order, attention: bool, findings: &mut Findings) {
    let charged = order.payments.iter().filter_map(|payment| ending.paid.get(&payment.id));
    let charged: Vec<_> = charged.collect();
    findings.unless(charged.iter().all(|amount| **amount == order.total), || {
        format!("{} costs {:?}, and {charged:?} was charged", order.id, order.total)
    });
    let paid = order.payments.iter().filter(|it| it.state == PaymentState::Paid).count();
    let owed = !matches!(order.state, OrderState::AwaitingPayment | OrderState::Cancelled);
    let counts = if attention && !owed {
        // The answer to the charge may be what was given up.
        paid == 0 && charged.len() <= 1
    } else {
        (paid, charged.len()) == (usize::from(owed), usize::from(owed))
    };
    findings.unless(counts, || {
        let (state, charged) = (order.state.name(), charged.len());
        format!(
            "{} is {state}, has {paid} paid payments, and was charged {charged} times",
            order.id
        )
    });
}

fn made_once(order: &Order, item: &Item, jobs: &[&PrintJob], findings: &mut Findings) {
    let jobs: Vec<_> = jobs.iter().filter(|job| job.item == item.id).collect();
    let parcels = order.shipments.iter().filter(|it| Some(it.print_job) == item.print_job);
    let parcels = parcels.count();
    let made = matches!(item.state, ItemState::Shipped | ItemState::Delivered);
    let expected_job = match item.state {
        ItemState::AwaitingPayment | ItemState::Queued | ItemState::Cancelled => None,
        ItemState::Routed => Some(PrintJobState::Preparing),
        ItemState::Rendered => Some(PrintJobState::Ready),
        ItemState::Accepted => Some(PrintJobState::Accepted),
        ItemState::Printing => Some(PrintJobState::Printing),
        ItemState::Shipped | ItemState::Delivered => Some(PrintJobState::Shipped),
    };
    let sound = match (&jobs[..], expected_job) {
        ([], None) => true,
        ([job], Some(state)) => {
            let routed = item.route.as_ref().is_some_and(|it| it.facility == job.facility);
            routed && job.state == state && job.file == item.file
        }
        _ => false,
    };
    findings.unless(sound && parcels == usize::from(made), || {
        let states: Vec<_> = jobs.iter().map(|job| job.state.name()).collect();
        format!("{} is {}, its jobs {states:?}, its parcels {parcels}", item.id, item.state.name())
    });
}

/// No change overwrites another, and no order goes back.
fn versions(ending: &Ending, findings: &mut Findings) {
    const LIFE: [OrderState; 7] = [
        OrderState::AwaitingPayment,
        OrderState::Paid,
        OrderState::InProduction,
        OrderState::PartlyShipped,
        OrderState::Shipped,
        OrderState::Delivered,
        OrderState::Cancelled,
    ];
    let mut last: BTreeMap<&str, (u64, Option<usize>)> = BTreeMap::new();
    for (kind, id, version, state) in ending.commits().flat_map(|(_, it)| &it.records) {
        let place = LIFE.iter().position(|known| *kind == Kind::Order && known.name() == state);
        let before = last.insert(id, (*version, place)).unwrap_or_default();
        findings.unless(*version == before.0 + 1 && place >= before.1, || {
            format!("{id} became {state}, version {version}, after version {}", before.0)
        });
    }
}

/// Only who has accepted a job prints it; once, unless it crashed on the way.
fn printing(ending: &Ending, findings: &mut Findings) {
    let mut printed = BTreeSet::new();
    for entry in &ending.history {
        let What::Printed { facility, job } = &entry.what else { continue };
        findings.unless(printed.insert((&entry.who, job)), || {
            format!("{} printed {job} twice", entry.who)
        });
        let known = ending.jobs.iter().find(|known| known.id == *job);
        findings.unless(known.is_some_and(|known| known.facility == *facility), || {
            format!("{facility} printed {job}, which is not its job")
        });
    }
}
