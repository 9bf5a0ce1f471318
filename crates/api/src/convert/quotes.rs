//! Quotes, and the lines that quotes and orders share, on the wire.

use super::{currency, id, money, time};
use printmill_domain::pricing::{LINES_MAX, Line, LineRequest};
use printmill_domain::problem::Problem;
use printmill_domain::quote::{Quote, QuoteState};
use printmill_orders::NewQuote;
use printmill_proto::v1;

/// The offer that a request asks for.
pub(crate) fn new_quote(request: &v1::CreateQuoteRequest) -> Result<NewQuote, Problem> {
    Ok(NewQuote {
        lines: lines(&request.items)?,
        country: request.country.clone(),
        currency: currency(&request.currency)?,
    })
}

/// The lines that a request asks for.
pub(crate) fn lines(items: &[v1::LineRequest]) -> Result<Vec<LineRequest>, Problem> {
    if items.is_empty() || items.len() > LINES_MAX {
        return Err(Problem::invalid_field("items", format!("must have 1 to {LINES_MAX} lines")));
    }
    let lines = items.iter().enumerate().map(|(index, item)| {
        Ok(LineRequest {
            print: id(&format!("items[{index}].print_id"), &item.print_id)?,
            revision: Some(item.revision).filter(|revision| *revision > 0),
            quantity: item.quantity,
        })
    });
    lines.collect()
}

/// A priced line.
pub(crate) fn line(line: &Line) -> v1::Line {
    v1::Line {
        print_id: line.print.to_string(),
        revision: line.revision,
        sku: line.sku.clone(),
        pages: line.pages,
        quantity: line.quantity,
        unit_price: money(line.unit_price),
        total: money(line.total),
    }
}

/// An offer.
pub(crate) fn quote(quote: &Quote) -> v1::Quote {
    let state = match quote.state {
        QuoteState::Open => "open",
        QuoteState::Accepted => "accepted",
    };
    v1::Quote {
        id: quote.id.to_string(),
        state: state.into(),
        lines: quote.price.lines.iter().map(line).collect(),
        shipping: money(quote.price.shipping),
        total: money(quote.price.total),
        country: quote.country.clone(),
        routes: quote.facilities.clone(),
        order_id: quote.order.map(|order| order.to_string()).unwrap_or_default(),
        create_time: time(quote.created_at),
        expire_time: time(quote.expires_at),
    }
}
