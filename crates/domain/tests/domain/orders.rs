//! Random lives of orders, with the print jobs of their items beside them.

use crate::cases;
use crate::fixtures::{
    at, bad_tracking, blob, facilities, id, merchant, price_of, problem, recipient, tracking,
};
use crate::history::{History, Outcome};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::catalogue::product;
use printmill_domain::country::Country;
use printmill_domain::ids::{Id, ItemId, PaymentId, derive};
use printmill_domain::item::ItemState;
use printmill_domain::lane::Class;
use printmill_domain::order::{Order, OrderState, Placement};
use printmill_domain::order_command::{OrderCommand, RENDER, ROUTE};
use printmill_domain::payment::{CHARGE, ChargeOutcome, PaymentState};
use printmill_domain::print_job::{PrintJob, PrintJobCommand, PrintJobState};
use printmill_domain::problem::Code;
use printmill_domain::routing::{Route, route};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A step of a life. Indexes pick among what there is when the step is taken.
#[derive(Debug, Clone)]
enum Step {
    Pay {
        method: u8,
    },
    Settle {
        payment: Index,
        paid: bool,
        text: u8,
    },
    SettleUnknown,
    Route {
        items: Vec<Index>,
        facility: u8,
    },
    File {
        item: Index,
        file: u8,
    },
    Accept {
        item: Index,
    },
    Printing {
        item: Index,
    },
    Ship {
        item: Index,
        number: u8,
    },
    ShipBadly {
        item: Index,
    },
    Deliver {
        item: Index,
    },
    Issue {
        item: Index,
        number: u8,
    },
    UnknownItem {
        which: u8,
    },
    Cancel,
    /// What would come next for an item if all went well.
    Onward {
        item: Index,
    },
    /// Something that was said before.
    Again {
        which: Index,
    },
}

fn steps() -> impl Strategy<Value = Vec<(i32, Step)>> {
    let item = any::<Index>;
    let step = prop_oneof![
        2 => (0..3u8).prop_map(|method| Step::Pay { method }),
        2 => (any::<Index>(), any::<bool>(), 0..2u8)
            .prop_map(|(payment, paid, text)| Step::Settle { payment, paid, text }),
        1 => Just(Step::SettleUnknown),
        2 => (prop::collection::vec(item(), 0..4), 0..6u8)
            .prop_map(|(items, facility)| Step::Route { items, facility }),
        1 => (item(), 0..3u8).prop_map(|(item, file)| Step::File { item, file }),
        1 => item().prop_map(|item| Step::Accept { item }),
        1 => item().prop_map(|item| Step::Printing { item }),
        1 => (item(), 0..3u8).prop_map(|(item, number)| Step::Ship { item, number }),
        1 => item().prop_map(|item| Step::ShipBadly { item }),
        1 => item().prop_map(|item| Step::Deliver { item }),
        1 => (item(), 0..2u8).prop_map(|(item, number)| Step::Issue { item, number }),
        1 => (0..6u8).prop_map(|which| Step::UnknownItem { which }),
        1 => Just(Step::Cancel),
        18 => item().prop_map(|item| Step::Onward { item }),
        4 => any::<Index>().prop_map(|which| Step::Again { which }),
    ];
    // Clocks jump back at times.
    prop::collection::vec((-600..4_000i32, step), 0..60)
}

/// An order, and the print jobs of its items, as fulfilment moves them together.
struct World {
    order: History<Order>,
    jobs: BTreeMap<ItemId, History<PrintJob>>,
    said: Vec<OrderCommand>,
    heard: Vec<OrderCommand>,
}

impl World {
    fn begin(lines: usize, method: Option<String>) -> Self {
        let placement = Placement {
            class: Class::Urgent,
            id: id(1),
            merchant: merchant(),
            reference: "R-1".into(),
            recipient: recipient("DE"),
            quote: None,
            price: price_of(lines),
            payment_method: method,
        };
        let placed = Order::place(placement, at(0)).expect("a good order");
        let order = History::begin(placed, at(0));
        Self { order, jobs: BTreeMap::new(), said: vec![], heard: vec![] }
    }

    fn item(&self, index: &Index) -> ItemId {
        index.get(&self.order.state.items).id
    }

    /// What is said in a step, in the domain's words.
    fn command(&self, step: &Step) -> Option<OrderCommand> {
        let order = &self.order.state;
        Some(match step {
            Step::Pay { method } => OrderCommand::RequestPayment { method: method_name(*method) },
            Step::Settle { payment, .. } if order.payments.is_empty() => {
                let _ = payment;
                return None;
            }
            Step::Settle { payment, paid, text } => {
                let payment = payment.get(&order.payments).id;
                OrderCommand::RecordPayment { payment, outcome: outcome(*paid, *text) }
            }
            Step::SettleUnknown => {
                OrderCommand::RecordPayment { payment: id(999), outcome: outcome(true, 0) }
            }
            Step::Route { items, facility } => OrderCommand::Route {
                routes: items.iter().map(|item| (self.item(item), chosen(*facility))).collect(),
            },
            Step::File { item, file } => {
                OrderCommand::RecordFile { item: self.item(item), file: blob(*file) }
            }
            Step::Accept { item } => OrderCommand::RecordAccepted { item: self.item(item) },
            Step::Printing { item } => OrderCommand::RecordPrinting { item: self.item(item) },
            Step::Ship { item, number } => {
                OrderCommand::RecordShipped { item: self.item(item), tracking: tracking(*number) }
            }
            Step::ShipBadly { item } => {
                OrderCommand::RecordShipped { item: self.item(item), tracking: bad_tracking() }
            }
            Step::Deliver { item } => OrderCommand::RecordDelivered { item: self.item(item) },
            Step::Issue { item, number } => {
                OrderCommand::RaiseIssue { item: self.item(item), problem: problem(*number) }
            }
            Step::UnknownItem { which } => about(id(998), *which),
            Step::Cancel => OrderCommand::Cancel,
            Step::Onward { item } => self.onward(self.item(item)),
            Step::Again { .. } if self.said.is_empty() => return None,
            Step::Again { which } => which.get(&self.said).clone(),
        })
    }

    fn onward(&self, item: ItemId) -> OrderCommand {
        let order = &self.order.state;
        let payment = order.payments.iter().find(|p| p.state == PaymentState::Pending);
        match (order.item(item).expect("it was picked").state, payment) {
            (ItemState::AwaitingPayment, None) => {
                OrderCommand::RequestPayment { method: method_name(0) }
            }
            (ItemState::AwaitingPayment, Some(payment)) => {
                OrderCommand::RecordPayment { payment: payment.id, outcome: outcome(true, 0) }
            }
            (ItemState::Queued, _) => OrderCommand::Route { routes: vec![(item, chosen(1))] },
            (ItemState::Routed, _) => about(item, 0),
            (ItemState::Rendered, _) => about(item, 1),
            (ItemState::Accepted, _) => about(item, 2),
            (ItemState::Printing, _) => about(item, 3),
            _ => about(item, 4),
        }
    }

    fn say(&mut self, command: OrderCommand, now: Timestamp) {
        let late = is_report(&command) && self.heard.contains(&command);
        let outcome = self.order.apply(command.clone(), now);
        if late {
            assert_eq!(outcome, Outcome::Quiet, "a report that was heard before: {command:?}");
        }
        if outcome == Outcome::Done {
            self.heard.push(command.clone());
        }
        self.jobs_follow(&command, &outcome, now);
        self.said.push(command);
        self.check();
    }

    /// Print jobs hear what their items hear, and answer the same.
    fn jobs_follow(&mut self, command: &OrderCommand, outcome: &Outcome, now: Timestamp) {
        let order = &self.order.state;
        for item in order.items.iter().filter(|item| item.route.is_some()) {
            let route = item.route.as_ref().expect("filtered");
            self.jobs.entry(item.id).or_insert_with(|| {
                History::begin(Decided::quiet(job(order, item.id, route, now)), now)
            });
        }
        let (item, command) = match command.clone() {
            OrderCommand::RecordFile { item, file } => (item, PrintJobCommand::Attach(file)),
            OrderCommand::RecordAccepted { item } => (item, PrintJobCommand::Accept),
            OrderCommand::RecordPrinting { item } => (item, PrintJobCommand::StartPrinting),
            OrderCommand::RecordShipped { item, tracking } => {
                (item, PrintJobCommand::Ship(tracking))
            }
            _ => return,
        };
        let Some(job) = self.jobs.get_mut(&item) else { return };
        let followed = job.apply(command.clone(), now);
        let kind = std::mem::discriminant::<Outcome>;
        // A late report is not read closely by the job, but its item refuses bad tracking.
        let unread = matches!(outcome, Outcome::Refused(p) if p.code == Code::InvalidArgument);
        assert!(
            unread || kind(&followed) == kind(outcome),
            "{command:?}: {outcome:?}, {followed:?}"
        );
    }

    fn check(&self) {
        let order = &self.order.state;
        let events = |kind: &str| self.order.events.iter().filter(|e| e.kind == kind).count();
        let items = |least: ItemState| {
            let reached = |state| state >= least && state != ItemState::Cancelled;
            order.items.iter().filter(|item| reached(item.state)).count()
        };
        let paid = usize::from(items(ItemState::Queued) > 0);
        let shipped = matches!(order.state, OrderState::Shipped | OrderState::Delivered);
        assert_eq!(events("order.placed"), 1);
        assert_eq!((events("order.paid"), events("payment.paid")), (paid, paid));
        assert_eq!(events("payment.requested"), order.payments.len());
        assert_eq!(events("item.routed"), items(ItemState::Routed));
        assert_eq!(events("item.rendered"), items(ItemState::Rendered));
        assert_eq!(events("print_job.accepted"), items(ItemState::Accepted));
        assert!(events("print_job.printing") <= items(ItemState::Printing));
        assert_eq!(events("print_job.shipped"), items(ItemState::Shipped));
        assert_eq!(events("shipment.delivered"), items(ItemState::Delivered));
        assert_eq!(events("order.shipped"), usize::from(shipped));
        assert_eq!(events("order.cancelled"), usize::from(order.state == OrderState::Cancelled));
        let tickets = |kind: &str| self.order.tickets.values().filter(|t| t.kind == kind).count();
        assert_eq!(tickets(CHARGE), order.payments.len());
        assert_eq!(tickets(ROUTE), paid);
        assert_eq!(tickets(RENDER), items(ItemState::Routed));
        assert_eq!(self.order.tickets.len(), tickets(CHARGE) + tickets(ROUTE) + tickets(RENDER));
        for item in &order.items {
            let job = self.jobs.get(&item.id).map(|job| job.state.state);
            assert_eq!(job, job_state(item.state), "{item:?}");
        }
    }
}

fn job_state(item: ItemState) -> Option<PrintJobState> {
    match item {
        ItemState::AwaitingPayment | ItemState::Queued | ItemState::Cancelled => None,
        ItemState::Routed => Some(PrintJobState::Preparing),
        ItemState::Rendered => Some(PrintJobState::Ready),
        ItemState::Accepted => Some(PrintJobState::Accepted),
        ItemState::Printing => Some(PrintJobState::Printing),
        ItemState::Shipped | ItemState::Delivered => Some(PrintJobState::Shipped),
    }
}

/// Whether it tells what happened, and does not ask for anything.
fn is_report(command: &OrderCommand) -> bool {
    use OrderCommand::{Cancel, RaiseIssue, RequestPayment};
    !matches!(command, RequestPayment { .. } | RaiseIssue { .. } | Cancel)
}

fn method_name(number: u8) -> String {
    ["sandbox", "sandbox-declined", ""][usize::from(number)].into()
}

fn outcome(paid: bool, text: u8) -> ChargeOutcome {
    let text = format!("said {text}");
    if paid {
        ChargeOutcome::Paid { reference: text }
    } else {
        ChargeOutcome::Declined { reason: text }
    }
}

/// A route to one of the starter facilities, with a short record.
fn chosen(facility: u8) -> Route {
    static ROUTE: LazyLock<Route> = LazyLock::new(|| {
        let country = Country::find("DE").expect("served");
        let product = product("magazine-a5-stapled").expect("sold");
        route(product, country, &facilities()).expect("made")
    });
    let candidate = ROUTE.candidates[usize::from(facility)].clone();
    let (facility, reason) = (candidate.facility, ROUTE.reason.clone());
    Route { facility, reason, candidates: vec![candidate] }
}

fn about(item: ItemId, which: u8) -> OrderCommand {
    match which {
        0 => OrderCommand::RecordFile { item, file: blob(1) },
        1 => OrderCommand::RecordAccepted { item },
        2 => OrderCommand::RecordPrinting { item },
        3 => OrderCommand::RecordShipped { item, tracking: tracking(1) },
        4 => OrderCommand::RecordDelivered { item },
        _ => OrderCommand::RaiseIssue { item, problem: problem(0) },
    }
}

fn job(order: &Order, item: ItemId, route: &Route, now: Timestamp) -> PrintJob {
    let line = &order.item(item).expect("it is one of the order").line;
    PrintJob {
        class: order.class,
        id: PrintJob::id_for(item),
        merchant: order.merchant,
        order: order.id,
        item,
        facility: route.facility,
        sku: line.sku.clone(),
        pages: line.pages,
        quantity: line.quantity,
        recipient: order.recipient.clone(),
        state: PrintJobState::Preparing,
        file: None,
        tracking: None,
        created_at: now,
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_life_of_an_order_breaks_its_rules(
        lines in 1..5usize,
        method in prop::option::of(0..2u8),
        steps in steps(),
    ) {
        let mut world = World::begin(lines, method.map(method_name));
        let mut seconds = 0;
        for (elapsed, step) in steps {
            seconds += i64::from(elapsed);
            if let Some(command) = world.command(&step) {
                world.say(command, at(seconds));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn an_order_that_nothing_goes_wrong_with_arrives(
        lines in 1..5usize,
        picks in prop::collection::vec(any::<Index>(), 80),
    ) {
        let mut world = World::begin(lines, None);
        for pick in picks {
            let unfinished = |item: &&printmill_domain::item::Item| item.state != ItemState::Delivered;
            let left: Vec<_> =
                world.order.state.items.iter().filter(unfinished).map(|item| item.id).collect();
            if left.is_empty() {
                break;
            }
            let command = world.onward(*pick.get(&left));
            world.say(command, at(0));
        }
        prop_assert_eq!(world.order.state.state, OrderState::Delivered);
        let of_jobs = world.jobs.values().flat_map(|job| job.tickets.values());
        let mut tickets = world.order.tickets.values().chain(of_jobs);
        prop_assert!(tickets.all(|ticket| ticket.class == Class::Urgent), "like the order");
        prop_assert_eq!(world.order.state.shipments.len(), lines);
    }
}

#[test]
fn an_order_without_lines_is_refused() {
    let mut price = price_of(1);
    price.lines.clear();
    let placement = Placement {
        class: Default::default(),
        id: id(1),
        merchant: merchant(),
        reference: String::new(),
        recipient: recipient("DE"),
        quote: None,
        price,
        payment_method: None,
    };
    let refused = Order::place(placement, at(0)).map(|_| ()).unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
}

#[test]
fn the_ids_of_what_an_order_makes_follow_from_its_own() {
    let ids = || World::begin(3, Some("sandbox".into())).order;
    let (one, other) = (ids(), ids());
    assert_eq!(one.state, other.state);
    assert_eq!(one.tickets, other.tickets);
    let payment: PaymentId = derive(one.state.id.uuid(), "payment", 1);
    assert_eq!(one.state.payments[0].id, payment);
}
