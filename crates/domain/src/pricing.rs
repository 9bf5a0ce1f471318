//! Prices: items, shipping and the total of an order.

use crate::catalogue::{converted, product};
use crate::country::Country;
use crate::money::{Currency, Money};
use crate::print::Print;
use crate::problem::{Problem, Violation};
use serde::{Deserialize, Serialize};

use crate::ids::PrintId;

/// The most lines that an order may have.
pub const LINES_MAX: usize = 50;
/// The most copies that a line may have.
pub const QUANTITY_MAX: u32 = 1_000;

/// What is asked for: so many copies of a print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRequest {
    /// The print.
    pub print: PrintId,
    /// Its revision; nothing for the latest.
    pub revision: Option<u32>,
    /// How many copies.
    pub quantity: u32,
}

/// A priced line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The print.
    pub print: PrintId,
    /// Its revision.
    pub revision: u32,
    /// The product.
    pub sku: String,
    /// The number of pages.
    pub pages: u32,
    /// How many copies.
    pub quantity: u32,
    /// The price of one copy.
    pub unit_price: Money,
    /// The price of all copies.
    pub total: Money,
}

/// What an order costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The lines.
    pub lines: Vec<Line>,
    /// Carriage to the recipient.
    pub shipping: Money,
    /// Everything together. Taxes are included in the list prices.
    pub total: Money,
}

/// Checks what is asked for, before anything is loaded.
pub fn check_lines(requests: &[LineRequest]) -> Result<(), Problem> {
    let mut violations = vec![];
    if requests.is_empty() || requests.len() > LINES_MAX {
        violations.push(Violation {
            field: "items".into(),
            description: format!("must have 1 to {LINES_MAX} lines"),
        });
    }
    for (index, request) in requests.iter().enumerate() {
        if !(1..=QUANTITY_MAX).contains(&request.quantity) {
            violations.push(Violation {
                field: format!("items[{index}].quantity"),
                description: format!("must be 1 to {QUANTITY_MAX}"),
            });
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(violations)) }
}

/// Prices lines; each request comes with the print that it names.
pub fn price(
    requests: &[(LineRequest, &Print)],
    country: &Country,
    currency: Currency,
) -> Result<Price, Problem> {
    let mut lines = vec![];
    let mut total = Money::zero(currency);
    let mut grams = 0u64;
    for (request, print) in requests {
        let revision = print.orderable(request.revision)?;
        let product = product(&revision.sku)?;
        let pages = revision.pages.len() as u32;
        let unit_price = product.unit_price(pages, currency);
        let line_total = unit_price.checked_mul(request.quantity).ok_or_else(too_much)?;
        total = total.checked_add(line_total).ok_or_else(too_much)?;
        grams += u64::from(product.grams(pages)) * u64::from(request.quantity);
        lines.push(Line {
            print: print.id,
            revision: revision.number,
            sku: revision.sku.clone(),
            pages,
            quantity: request.quantity,
            unit_price,
            total: line_total,
        });
    }
    let shipping = shipping(grams, country, currency);
    let total = total.checked_add(shipping).ok_or_else(too_much)?;
    Ok(Price { lines, shipping, total })
}

/// Carriage: a base for the parcel and a step for each started kilogram; dearer where no starter
/// facility is near.
fn shipping(grams: u64, country: &Country, currency: Currency) -> Money {
    const NEAR: [&str; 6] = ["NL", "DE", "PT", "GB", "US", "AU"];
    let (base, step) = if NEAR.contains(&country.code) { (390, 120) } else { (690, 310) };
    let kilograms = i64::try_from(grams.div_ceil(1_000)).unwrap_or(i64::MAX / 1_000_000);
    Money::new(currency, converted(base + step * kilograms, currency))
}

fn too_much() -> Problem {
    Problem::invalid_field("items", "cost more than can be counted; order fewer copies")
}
