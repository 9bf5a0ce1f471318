//! Orders: what was bought, by whom, for whom, and how far it is.
//!
//! An order holds its items, payments and shipments; each has a state machine of its own, and
//! the order's state follows from them. All that happens to any of them is in the order's
//! history, numbered without gaps.

use crate::Timestamp;
use crate::address::Recipient;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::event::Stream;
use crate::ids::{Id, ItemId, MerchantId, OrderId, PaymentId, QuoteId, derive};
use crate::item::{Item, ItemState};
use crate::lane::{Class, Lane};
use crate::money::Money;
use crate::payment::{CHARGE, Payment, PaymentState};
use crate::pricing::Price;
use crate::problem::Problem;
use crate::shipment::Shipment;
use crate::ticket::Ticket;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Where an order is. It only moves down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// It is accepted and waits to be paid.
    AwaitingPayment,
    /// It is paid; its files are being made.
    Paid,
    /// A facility has taken on one of its items.
    InProduction,
    /// One of its items is on its way.
    PartlyShipped,
    /// All of its items are on their way.
    Shipped,
    /// All of its items have arrived.
    Delivered,
    /// It will not be made.
    Cancelled,
}

impl OrderState {
    /// The name that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            OrderState::AwaitingPayment => "awaiting_payment",
            OrderState::Paid => "paid",
            OrderState::InProduction => "in_production",
            OrderState::PartlyShipped => "partly_shipped",
            OrderState::Shipped => "shipped",
            OrderState::Delivered => "delivered",
            OrderState::Cancelled => "cancelled",
        }
    }

    /// The state that follows from those of the items.
    pub fn of_items(items: &[Item]) -> OrderState {
        let live = || items.iter().map(|item| item.state).filter(|s| *s != ItemState::Cancelled);
        let (Some(least), Some(most)) = (live().min(), live().max()) else {
            return OrderState::Cancelled;
        };
        match (least, most) {
            (ItemState::Delivered, _) => OrderState::Delivered,
            (ItemState::Shipped, _) => OrderState::Shipped,
            (_, ItemState::Shipped | ItemState::Delivered) => OrderState::PartlyShipped,
            (_, ItemState::Accepted | ItemState::Printing) => OrderState::InProduction,
            (ItemState::AwaitingPayment, _) => OrderState::AwaitingPayment,
            _ => OrderState::Paid,
        }
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The id.
    pub id: OrderId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The merchant's own name for it; may be empty.
    pub reference: String,
    /// Where it goes.
    pub recipient: Recipient,
    /// The quote that it was made of.
    pub quote: Option<QuoteId>,
    /// What was bought.
    pub items: Vec<Item>,
    /// Carriage.
    pub shipping: Money,
    /// Everything together.
    pub total: Money,
    /// How urgent all work on it is.
    #[serde(default)]
    pub class: Class,
    /// Where it is.
    pub state: OrderState,
    /// All attempts to pay it.
    pub payments: Vec<Payment>,
    /// Its parcels.
    pub shipments: Vec<Shipment>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// The last place used in its history.
    pub sequence: u64,
}

/// What an order is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The id that it gets.
    pub id: OrderId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The merchant's own name for it.
    pub reference: String,
    /// Where it goes.
    pub recipient: Recipient,
    /// The quote that it is made of.
    pub quote: Option<QuoteId>,
    /// How urgent all work on it is.
    pub class: Class,
    /// What it costs.
    pub price: Price,
    /// How to pay it; nothing to pay later.
    pub payment_method: Option<String>,
}

impl Order {
    /// Accepts an order.
    pub fn place(placement: Placement, now: Timestamp) -> Result<Decided<Order>, Problem> {
        placement.recipient.check("recipient")?;
        if placement.reference.chars().count() > 100 {
            return Err(Problem::invalid_field("reference", "must have at most 100 characters"));
        }
        if placement.price.lines.is_empty() {
            return Err(Problem::invalid_field("items", "must have at least 1 line"));
        }
        let Placement { id, merchant, reference, recipient, quote, class, price, payment_method } =
            placement;
        let items = price.lines.into_iter().enumerate().map(|(index, line)| Item {
            id: derive::<ItemId>(id.uuid(), "item", index as u32),
            line,
            state: ItemState::AwaitingPayment,
            route: None,
            print_job: None,
            file: None,
            issue: None,
        });
        let mut order = Order {
            id,
            merchant,
            reference,
            recipient,
            quote,
            class,
            items: items.collect(),
            shipping: price.shipping,
            total: price.total,
            state: OrderState::AwaitingPayment,
            payments: vec![],
            shipments: vec![],
            created_at: now,
            sequence: 0,
        };
        let data = json!({ "total": order.total, "items": order.items.len() });
        let mut stream = Stream::new(id, &mut order.sequence);
        stream.push("order.placed", id, data);
        let mut events = stream.finish();
        let mut tickets = vec![];
        if let Some(method) = payment_method {
            let mut paying = order.request_payment(method, now)?;
            order = paying.state;
            events.append(&mut paying.events);
            tickets.append(&mut paying.tickets);
        }
        Ok(Decided { state: order, events, tickets })
    }

    /// Asks for a charge, unless one is under way or done.
    pub(crate) fn request_payment(
        &self,
        method: String,
        now: Timestamp,
    ) -> Result<Decided<Order>, Problem> {
        if method.is_empty() || method.len() > 200 {
            return Err(Problem::invalid_field("payment_method", "must have 1 to 200 bytes"));
        }
        let live = self.payments.iter().find(|payment| payment.state != PaymentState::Declined);
        match live {
            Some(payment) if payment.method == method => {
                return Ok(Decided::quiet(self.clone()));
            }
            Some(payment) => {
                return Err(Problem::invalid_state(
                    format!("{} has {} for it already", self.id, payment.id),
                    "wait for that payment; nothing more needs to be paid",
                ));
            }
            None if self.state != OrderState::AwaitingPayment => {
                return Err(Problem::invalid_state(
                    format!("{} is {} and cannot be paid", self.id, self.state.name()),
                    "place a new order",
                ));
            }
            None => {}
        }
        let mut next = self.clone();
        let number = self.payments.len() as u32 + 1;
        let id = derive::<PaymentId>(self.id.uuid(), "payment", number);
        next.payments.push(Payment {
            id,
            method: method.clone(),
            amount: self.total,
            state: PaymentState::Pending,
            reference: None,
            decline_reason: None,
        });
        let mut stream = Stream::new(self.id, &mut next.sequence);
        stream.push("payment.requested", id, json!({ "method": method, "amount": self.total }));
        let events = stream.finish();
        let ticket = Ticket::new(
            derive(id.uuid(), CHARGE, 0),
            self.merchant,
            Lane::express(),
            CHARGE,
            json!({ "order": self.id, "payment": id }),
            now,
        )
        .of_class(self.class);
        Ok(Decided { state: next, events, tickets: vec![ticket] })
    }

    /// The item with an id.
    pub fn item(&self, id: ItemId) -> Result<&Item, Problem> {
        let found = self.items.iter().find(|item| item.id == id);
        found.ok_or_else(|| Problem::not_found("item", id))
    }
}

impl Aggregate for Order {
    const KIND: Kind = Kind::Order;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn state(&self) -> &'static str {
        self.state.name()
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
