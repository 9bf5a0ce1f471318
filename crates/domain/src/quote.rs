//! Quotes: an offer at a fixed price for a limited time, good for one order.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::event::Stream;
use crate::ids::{MerchantId, OrderId, QuoteId};
use crate::pricing::Price;
use crate::problem::{Code, Problem};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long a quote's price holds, in hours.
pub const QUOTE_HOURS: i64 = 24;

/// Where a quote is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteState {
    /// It can be accepted until it expires.
    Open,
    /// An order was made of it.
    Accepted,
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// The id.
    pub id: QuoteId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// Where it is in its life.
    pub state: QuoteState,
    /// What it offers at which price.
    pub price: Price,
    /// The country that the price holds for.
    pub country: String,
    /// The facility that would make each line today, with the reason.
    pub facilities: Vec<String>,
    /// The order that was made of it.
    pub order: Option<OrderId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// The last place used in its history.
    pub sequence: u64,
}

impl Quote {
    /// A new offer.
    pub fn offer(
        id: QuoteId,
        merchant: MerchantId,
        price: Price,
        country: String,
        facilities: Vec<String>,
        now: Timestamp,
    ) -> Decided<Quote> {
        let mut quote = Quote {
            id,
            merchant,
            state: QuoteState::Open,
            price,
            country,
            facilities,
            order: None,
            created_at: now,
            expires_at: now + TimeDelta::hours(QUOTE_HOURS),
            sequence: 0,
        };
        let mut stream = Stream::new(id, &mut quote.sequence);
        stream.push("quote.offered", id, json!({ "total": quote.price.total }));
        let events = stream.finish();
        Decided { state: quote, events, tickets: vec![] }
    }

    /// An order is made of it. Accepting it again for the same order changes nothing.
    pub fn accept(
        &self,
        order: OrderId,
        country: &str,
        now: Timestamp,
    ) -> Result<Decided<Quote>, Problem> {
        match self.state {
            QuoteState::Accepted if self.order == Some(order) => {
                return Ok(Decided::quiet(self.clone()));
            }
            QuoteState::Accepted => {
                return Err(Problem::new(
                    Code::QuoteUsed,
                    format!("{} was accepted before", self.id),
                    "ask for a new quote; a quote is good for one order",
                ));
            }
            QuoteState::Open => {}
        }
        if now > self.expires_at {
            return Err(Problem::new(
                Code::QuoteExpired,
                format!("{} expired at {}", self.id, self.expires_at.to_rfc3339()),
                "ask for a new quote; prices may have changed",
            ));
        }
        if country != self.country {
            return Err(Problem::invalid_field(
                "recipient.country",
                format!("must be {}, which the quote was made for", self.country),
            ));
        }
        let mut next = self.clone();
        next.state = QuoteState::Accepted;
        next.order = Some(order);
        let mut stream = Stream::new(self.id, &mut next.sequence);
        stream.push("quote.accepted", self.id, json!({ "order": order }));
        let events = stream.finish();
        Ok(Decided { state: next, events, tickets: vec![] })
    }
}

impl Aggregate for Quote {
    const KIND: Kind = Kind::Quote;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn state(&self) -> &'static str {
        match self.state {
            QuoteState::Open => "open",
            QuoteState::Accepted => "accepted",
        }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
