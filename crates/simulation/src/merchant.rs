//! Merchants: place orders, pay and cancel, and ask again with the same request id when no answer
//! came, or for no reason at all.

use crate::api::Services;
use crate::history::{Asked, What, Wish};
use crate::site::Site;
use printmill_adapter_memory::gateway::{DECLINED, PAYS, UNREACHABLE};
use printmill_domain::address::Recipient;
use printmill_domain::aggregate::Versioned;
use printmill_domain::ids::{MerchantId, OrderId, PrintId, QuoteId};
use printmill_domain::money::Currency;
use printmill_domain::order::Order;
use printmill_domain::payment::PaymentState;
use printmill_domain::pricing::LineRequest;
use printmill_domain::problem::Problem;
use printmill_engine::command::{Context, RequestKey};
use printmill_orders::{Basis, NewOrder, NewQuote};
use std::future::Future;
use std::sync::Arc;

/// A merchant who wants one thing.
#[derive(Clone)]
pub(crate) struct Merchant {
    pub(crate) site: Arc<Site>,
    pub(crate) id: MerchantId,
    pub(crate) print: PrintId,
    /// Begins all of its request ids, and is the reference of its orders.
    pub(crate) name: String,
}

impl Merchant {
    /// Does one of the things that merchants do.
    pub(crate) async fn act(self) {
        self.pause(self.site.weather.lasts.as_millis() as u64 * 3 / 4).await;
        match self.site.chance.between(0..=99) {
            0..40 => {
                self.place("", Some(PAYS), self.items()).await;
            }
            40..55 => self.declined().await,
            55..70 => self.pay_or_cancel().await,
            70..80 => self.pay_twice().await,
            80..97 => self.quoted().await,
            _ => {
                self.place("", Some(UNREACHABLE), self.items()).await;
            }
        }
    }

    /// The first payment is declined; then another, or none, or the order is cancelled.
    async fn declined(&self) {
        let Some(order) = self.place("", Some(DECLINED), self.items()).await else { return };
        loop {
            let get = |services: Services, context: Context| async move {
                services.orders.get(context.merchant, &order).await
            };
            let read = self.site.call(|services| get(services, Context::of(self.id))).await;
            let settled = |order: &Versioned<Order>| {
                let pending = |state| state == PaymentState::Pending;
                let waits = order.payments.iter().any(|payment| pending(payment.state));
                !waits || order.items.iter().any(|item| item.issue.is_some())
            };
            if read.as_ref().is_ok_and(settled) {
                break;
            }
            self.pause(5_000).await;
        }
        match self.site.chance.between(0..=2) {
            0 => self.pay("pay", order, PAYS).await,
            1 => self.cancel(order).await,
            _ => {}
        }
    }

    /// Pays and cancels at the same time.
    async fn pay_or_cancel(&self) {
        let Some(order) = self.place("", None, self.items()).await else { return };
        let cancelling = async {
            self.pause(500).await;
            self.cancel(order).await;
        };
        tokio::join!(self.pay("pay", order, PAYS), cancelling);
    }

    /// Pays by two requests at the same time.
    async fn pay_twice(&self) {
        let Some(order) = self.place("", None, self.items()).await else { return };
        tokio::join!(self.pay("pay-1", order, PAYS), self.pay("pay-2", order, PAYS));
    }

    /// Makes two orders of one quote, or tries to.
    async fn quoted(&self) {
        let Basis::Items { lines, currency } = self.items() else { return };
        let quote: QuoteId = loop {
            let new = NewQuote { lines: lines.clone(), country: "NL".into(), currency };
            let context = self.context("quote", "quote");
            let quote =
                |services: Services| async move { services.orders.quote(&context, new).await };
            match self.site.call(quote).await {
                Ok(quote) => break quote.id,
                Err(problem) if problem.code.retryable() => self.pause(3_000).await,
                Err(problem) => return self.wrong(&problem),
            }
        };
        let place = |part| self.place(part, Some(PAYS), Basis::Quote(quote));
        tokio::join!(place("/a"), place("/b"));
    }

    fn items(&self) -> Basis {
        let lines = (0..self.site.chance.between(1..=2)).map(|_| {
            let quantity = u32::try_from(self.site.chance.between(1..=3)).unwrap_or(1);
            LineRequest { print: self.print, revision: None, quantity }
        });
        Basis::Items { lines: lines.collect(), currency: Currency::Eur }
    }

    async fn place(&self, part: &str, method: Option<&str>, basis: Basis) -> Option<OrderId> {
        let wish = if method.is_some() { Wish::PlaceAndPay } else { Wish::Place };
        let country = match basis {
            // A quote is for a country.
            Basis::Quote(_) => "NL",
            Basis::Items { .. } => ["NL", "GB", "DE"][self.site.chance.index(3)],
        };
        let new = NewOrder {
            class: Default::default(),
            basis,
            recipient: Recipient {
                name: "Ada Lovelace".into(),
                lines: vec!["High Street 1".into()],
                city: "Town".into(),
                postal_code: "1".into(),
                region: String::new(),
                country: country.into(),
            },
            reference: format!("{}{part}", self.name),
            payment_method: method.map(str::to_owned),
        };
        let request = new.reference.clone();
        let place = |services: Services, context: Context| {
            let new = new.clone();
            async move { services.orders.place(&context, new).await }
        };
        let order = self.ask(wish, &request, "place", &place).await?;
        if self.site.chance.strikes(200) {
            self.ask(Wish::Misuse, &request, "place something else", &place).await;
        }
        Some(order)
    }

    async fn pay(&self, part: &str, order: OrderId, method: &'static str) {
        let request = format!("{}/{part}", self.name);
        let pay = |services: Services, context: Context| async move {
            services.orders.pay(&context, &order, method.to_owned()).await
        };
        self.ask(Wish::Pay, &request, method, &pay).await;
    }

    async fn cancel(&self, order: OrderId) {
        let request = format!("{}/cancel", self.name);
        let cancel = |services: Services, context: Context| async move {
            services.orders.cancel(&context, &order).await
        };
        self.ask(Wish::Cancel, &request, "cancel", &cancel).await;
    }

    /// Asks until there is an answer, and once more now and then.
    async fn ask<F>(
        &self,
        wish: Wish,
        request: &str,
        content: &str,
        ask: &impl Fn(Services, Context) -> F,
    ) -> Option<OrderId>
    where
        F: Future<Output = Result<Versioned<Order>, Problem>> + Send + 'static,
    {
        let asked = Asked { merchant: self.id, request: request.to_owned(), wish };
        self.site.record(&self.name, What::Asked(asked.clone()));
        loop {
            let context = self.context(request.trim_start_matches(&self.name), content);
            match self.site.call(|services| ask(services, context)).await {
                Ok(order) => {
                    self.site.record(&self.name, What::Answered(asked.clone(), order.id));
                    if !self.site.chance.strikes(150) {
                        return Some(order.id);
                    }
                }
                Err(problem) if problem.code.retryable() => {}
                Err(problem) => {
                    self.site.record(&self.name, What::Refused(asked, problem.code));
                    return None;
                }
            }
            self.pause(3_000).await;
        }
    }

    fn context(&self, request: &str, content: &str) -> Context {
        let id = format!("{}{request}", self.name);
        let request = Some(RequestKey { fingerprint: format!("{id}: {content}"), id });
        Context { request, ..Context::of(self.id) }
    }

    fn wrong(&self, problem: &Problem) {
        self.site.record(&self.name, What::Wrong(format!("was refused a quote: {problem}")));
    }

    async fn pause(&self, most_ms: u64) {
        tokio::time::sleep(self.site.chance.millis(0..=most_ms)).await;
    }
}
