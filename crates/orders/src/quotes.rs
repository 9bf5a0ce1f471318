//! Quotes: what something would cost, and who would make it.

use crate::Orders;
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, DatabaseExt, fresh};
use printmill_domain::address::served;
use printmill_domain::aggregate::Versioned;
use printmill_domain::catalogue::product;
use printmill_domain::facility::Facility;
use printmill_domain::ids::{MerchantId, QuoteId};
use printmill_domain::money::Currency;
use printmill_domain::pricing::{LineRequest, Price};
use printmill_domain::problem::Problem;
use printmill_domain::quote::Quote;
use printmill_domain::routing::route;
use printmill_engine::command::{Answer, Context, Proposal};

/// An offer that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewQuote {
    /// The lines.
    pub lines: Vec<LineRequest>,
    /// The country of the recipient, by ISO 3166-1 alpha-2 code.
    pub country: String,
    /// The currency.
    pub currency: Currency,
}

impl Orders {
    /// Makes an offer, and says who would make each line today.
    pub async fn quote(
        &self,
        context: &Context,
        new: NewQuote,
    ) -> Result<Versioned<Quote>, Problem> {
        let merchant = context.merchant;
        let answer = self.commands.run(context, |now| {
            let new = new.clone();
            async move {
                served(&new.country).map_err(|problem| problem.with_field("country"))?;
                let price = self.price(merchant, &new.lines, &new.country, new.currency).await?;
                let routes = self.routes(&price, &new.country).await?;
                let id: QuoteId = fresh::id(now);
                let decided = Quote::offer(id, merchant, price, new.country, routes, now);
                let value = Versioned { version: 1, value: decided.state.clone() };
                let change = Change::new(merchant, now).create(decided);
                Ok(Proposal { change, outcome: id.to_string(), value })
            }
        });
        match answer.await? {
            Answer::Fresh(quote) => Ok(quote),
            Answer::Replayed(id) => {
                let found = self.commands.database().find(Scope::Merchant(merchant), &id).await?;
                found.ok_or_else(|| Problem::not_found("quote", id))
            }
        }
    }

    /// Who would make each line, and why. Nobody able is a refusal before anyone pays.
    async fn routes(&self, price: &Price, country: &str) -> Result<Vec<String>, Problem> {
        let country = served(country)?;
        let scope = Scope::Merchant(MerchantId::PLATFORM);
        let page = Page { before: None, limit: 1_000, state: None };
        let found: Vec<Versioned<Facility>> = self.commands.database().page(scope, page).await?;
        let facilities: Vec<Facility> = found.into_iter().map(|found| found.value).collect();
        let routes = price
            .lines
            .iter()
            .map(|line| Ok(route(product(&line.sku)?, country, &facilities)?.reason));
        routes.collect()
    }
}
