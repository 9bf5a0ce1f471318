//! Orders: quotes, orders and their payment.

mod charge;
mod quotes;

pub use charge::Charge;
pub use quotes::NewQuote;

use printmill_backend::database::{EventQuery, Page, Scope};
use printmill_backend::{Change, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::address::{Recipient, served};
use printmill_domain::aggregate::Versioned;
use printmill_domain::event::Event;
use printmill_domain::ids::{MerchantId, OrderId, QuoteId};
use printmill_domain::lane::Class;
use printmill_domain::money::Currency;
use printmill_domain::order::{Order, Placement};
use printmill_domain::order_command::OrderCommand;
use printmill_domain::pricing::{LineRequest, Price, check_lines, price};
use printmill_domain::print::Print;
use printmill_domain::problem::Problem;
use printmill_domain::quote::Quote;
use printmill_engine::command::{Answer, Commands, Context, Proposal};

/// What an order is made of: an offer, or items at today's price.
#[derive(Debug, Clone, PartialEq)]
pub enum Basis {
    /// A quote.
    Quote(QuoteId),
    /// Items, priced now.
    Items {
        /// The lines.
        lines: Vec<LineRequest>,
        /// The currency.
        currency: Currency,
    },
}

/// An order to place.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// What it is made of.
    pub basis: Basis,
    /// Where it goes.
    pub recipient: Recipient,
    /// The merchant's own name for it.
    pub reference: String,
    /// How to pay it at once; nothing to pay later.
    pub payment_method: Option<String>,
    /// How urgent it is.
    pub class: Class,
}

/// Makes offers, takes orders, and tells how far they are.
#[derive(Clone)]
pub struct Orders {
    commands: Commands,
}

impl Orders {
    /// Orders in the database that the commands run against.
    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// Places an order.
    pub async fn place(
        &self,
        context: &Context,
        new: NewOrder,
    ) -> Result<Versioned<Order>, Problem> {
        let answer = self.commands.run(context, |now| self.propose(context.merchant, &new, now));
        self.answer(context, answer.await?).await
    }

    async fn propose(
        &self,
        merchant: MerchantId,
        new: &NewOrder,
        now: Timestamp,
    ) -> Result<Proposal<Versioned<Order>>, Problem> {
        new.recipient.check("recipient")?;
        let id: OrderId = fresh::id(now);
        let mut change = Change::new(merchant, now);
        let (quote, price) = match &new.basis {
            Basis::Quote(quote_id) => {
                let quote = self.get_quote(merchant, quote_id).await?;
                let accepted = quote.accept(id, &new.recipient.country, now)?;
                let price = quote.price.clone();
                change = change.update(&quote, accepted);
                (Some(*quote_id), price)
            }
            Basis::Items { lines, currency } => {
                (None, self.price(merchant, lines, &new.recipient.country, *currency).await?)
            }
        };
        let placement = Placement {
            id,
            merchant,
            reference: new.reference.clone(),
            recipient: new.recipient.clone(),
            quote,
            price,
            class: new.class,
            payment_method: new.payment_method.clone(),
        };
        let decided = Order::place(placement, now)?;
        let value = Versioned { version: 1, value: decided.state.clone() };
        Ok(Proposal { change: change.create(decided), outcome: id.to_string(), value })
    }

    /// Pays an order by a method. An order that is being paid by the same method stays as it is.
    pub async fn pay(
        &self,
        context: &Context,
        id: &OrderId,
        method: String,
    ) -> Result<Versioned<Order>, Problem> {
        self.command(context, id, OrderCommand::RequestPayment { method }).await
    }

    /// Cancels an order that nobody has begun to pay.
    pub async fn cancel(
        &self,
        context: &Context,
        id: &OrderId,
    ) -> Result<Versioned<Order>, Problem> {
        self.command(context, id, OrderCommand::Cancel).await
    }

    /// One order.
    pub async fn get(
        &self,
        merchant: MerchantId,
        id: &OrderId,
    ) -> Result<Versioned<Order>, Problem> {
        self.find(merchant, &id.to_string()).await
    }

    /// The merchant's orders, newest first.
    pub async fn list(
        &self,
        merchant: MerchantId,
        page: Page,
    ) -> Result<Vec<Versioned<Order>>, Problem> {
        Ok(self.commands.database().page(Scope::Merchant(merchant), page).await?)
    }

    /// What happened to an order, oldest first, from after a sequence number.
    pub async fn events(
        &self,
        merchant: MerchantId,
        id: &OrderId,
        after_sequence: u64,
        limit: u32,
    ) -> Result<Vec<Event>, Problem> {
        self.get(merchant, id).await?;
        let mut wanted = vec![];
        let mut after = 0;
        loop {
            let query = EventQuery {
                after,
                limit: 500,
                merchant: Some(merchant),
                stream: Some(id.to_string()),
                ..EventQuery::default()
            };
            let events = self.commands.database().events(query).await?;
            let last = events.last().map(|event| event.seq);
            let newer = events.into_iter().filter(|event| event.draft.sequence > after_sequence);
            wanted.extend(newer);
            match last {
                Some(seq) if wanted.len() < limit as usize => after = seq,
                _ => break,
            }
        }
        wanted.truncate(limit as usize);
        Ok(wanted)
    }

    async fn command(
        &self,
        context: &Context,
        id: &OrderId,
        command: OrderCommand,
    ) -> Result<Versioned<Order>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let command = command.clone();
            async move {
                let before = self.get(merchant, id).await?;
                let decided = before.decide(command, now)?;
                let changed = u64::from(decided.state != before.value);
                let value =
                    Versioned { version: before.version + changed, value: decided.state.clone() };
                let change = Change::new(merchant, now).update(&before, decided);
                Ok(Proposal { change, outcome: id.to_string(), value })
            }
        });
        self.answer(context, answer.await?).await
    }

    async fn answer(
        &self,
        context: &Context,
        answer: Answer<Versioned<Order>>,
    ) -> Result<Versioned<Order>, Problem> {
        match answer {
            Answer::Fresh(order) => Ok(order),
            Answer::Replayed(id) => self.find(context.merchant, &id).await,
        }
    }

    async fn find(&self, merchant: MerchantId, id: &str) -> Result<Versioned<Order>, Problem> {
        let found = self.commands.database().find(Scope::Merchant(merchant), id).await?;
        found.ok_or_else(|| Problem::not_found("order", id))
    }

    /// Prices lines for a country, loading the prints that they name.
    pub(crate) async fn price(
        &self,
        merchant: MerchantId,
        lines: &[LineRequest],
        country: &str,
        currency: Currency,
    ) -> Result<Price, Problem> {
        check_lines(lines)?;
        let country = served(country)?;
        let scope = Scope::Merchant(merchant);
        let mut ids: Vec<String> = lines.iter().map(|line| line.print.to_string()).collect();
        ids.sort();
        ids.dedup();
        let prints: Vec<Versioned<Print>> = self.commands.database().find_many(scope, &ids).await?;
        let named = lines.iter().map(|line| {
            let print = prints.iter().find(|print| print.id == line.print);
            let print = print.ok_or_else(|| Problem::not_found("print", line.print))?;
            Ok((line.clone(), &print.value))
        });
        let named: Vec<_> = named.collect::<Result<_, Problem>>()?;
        price(&named, country, currency)
    }

    /// One quote.
    pub async fn get_quote(
        &self,
        merchant: MerchantId,
        id: &QuoteId,
    ) -> Result<Versioned<Quote>, Problem> {
        let found =
            self.commands.database().find(Scope::Merchant(merchant), &id.to_string()).await?;
        found.ok_or_else(|| Problem::not_found("quote", id))
    }
}
