//! Money and prices: sums that add up, and no amount that overflows.

use crate::cases;
use crate::fixtures::print;
use printmill_domain::catalogue::{PRODUCTS, converted, product};
use printmill_domain::country::{COUNTRIES, Country};
use printmill_domain::money::{Currency, Money};
use printmill_domain::pricing::{LINES_MAX, LineRequest, Price, QUANTITY_MAX, check_lines, price};
use printmill_domain::print::Print;
use proptest::prelude::*;
use proptest::sample::Index;

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(&Currency::ALL[..])
}

fn quantity() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..=QUANTITY_MAX, 2 => any::<u32>(), 1 => Just(u32::MAX), 1 => Just(0)]
}

fn requests(prints: &[Print], quantities: &[u32]) -> Vec<LineRequest> {
    let lines = prints.iter().zip(quantities);
    lines
        .map(|(print, quantity)| LineRequest {
            print: print.id,
            revision: None,
            quantity: *quantity,
        })
        .collect()
}

fn priced(prints: &[Print], quantities: &[u32], country: &Index, currency: Currency) -> Price {
    let requests = requests(prints, quantities);
    let lines: Vec<_> = requests.into_iter().zip(prints).collect();
    price(&lines, country.get(COUNTRIES), currency).expect("no total is that large")
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_total_is_the_sum_of_its_lines_and_the_carriage(
        lines in prop::collection::vec((0..3usize, any::<u32>(), quantity()), 1..60),
        country: Index,
        currency in currency(),
    ) {
        let prints: Vec<Print> = lines
            .iter()
            .enumerate()
            .map(|(number, (product, pages, _))| print(number as u64, *product, *pages))
            .collect();
        let quantities: Vec<u32> = lines.iter().map(|(_, _, quantity)| *quantity).collect();
        let price = priced(&prints, &quantities, &country, currency);
        let sum: i128 = price.lines.iter().map(|line| i128::from(line.total.minor)).sum();
        prop_assert_eq!(i128::from(price.total.minor), sum + i128::from(price.shipping.minor));
        prop_assert!(price.shipping.minor > 0);
        prop_assert_eq!(price.lines.len(), prints.len());
        for ((line, print), quantity) in price.lines.iter().zip(&prints).zip(&quantities) {
            let revision = print.revision(None).unwrap();
            prop_assert_eq!((line.print, line.quantity), (print.id, *quantity));
            prop_assert_eq!((&line.sku, line.pages as usize), (&revision.sku, revision.pages.len()));
            let unit = product(&line.sku).unwrap().unit_price(line.pages, currency);
            prop_assert_eq!(line.unit_price, unit);
            prop_assert_eq!(Some(line.total), unit.checked_mul(*quantity));
        }
        let amounts = price.lines.iter().flat_map(|line| [line.unit_price, line.total]);
        let mut amounts = amounts.chain([price.shipping, price.total]);
        prop_assert!(amounts.all(|amount| amount.currency == currency && amount.minor >= 0));
        let allowed = lines.len() <= LINES_MAX
            && quantities.iter().all(|quantity| (1..=QUANTITY_MAX).contains(quantity));
        prop_assert_eq!(check_lines(&requests(&prints, &quantities)).is_ok(), allowed);
    }

    #[test]
    fn more_copies_never_cost_less(
        product in 0..3usize,
        pages: u32,
        copies in 1..QUANTITY_MAX,
        country: Index,
        currency in currency(),
    ) {
        let prints = [print(1, product, pages)];
        let few = priced(&prints, &[copies], &country, currency);
        let more = priced(&prints, &[copies + 1], &country, currency);
        prop_assert!(few.total.minor < more.total.minor && few.shipping.minor <= more.shipping.minor);
    }

    #[test]
    fn sums_and_products_are_exact_or_refused(a: i64, b: i64, count: u32, currency in currency()) {
        let (x, y) = (Money::new(currency, a), Money::new(currency, b));
        let sum = i64::try_from(i128::from(a) + i128::from(b)).ok();
        prop_assert_eq!(x.checked_add(y), sum.map(|minor| Money::new(currency, minor)));
        let product = i64::try_from(i128::from(a) * i128::from(count)).ok();
        prop_assert_eq!(x.checked_mul(count), product.map(|minor| Money::new(currency, minor)));
        for other in Currency::ALL.into_iter().filter(|other| *other != currency) {
            prop_assert_eq!(x.checked_add(Money::new(other, 0)), None);
        }
        let shown = x.to_string();
        let (number, code) = shown.split_once(' ').unwrap();
        prop_assert_eq!(number.replace('.', "").parse::<i64>(), Ok(a), "{}", shown);
        prop_assert_eq!(Currency::parse(code), Some(currency));
    }

    #[test]
    fn other_currencies_are_rounded_up_by_less_than_a_minor_unit(cents in 0..1_000_000_000i64) {
        prop_assert_eq!(converted(cents, Currency::Eur), cents);
        for (currency, rate) in [(Currency::Gbp, 870), (Currency::Usd, 1_100)] {
            let short = converted(cents, currency) * 1_000 - cents * rate;
            prop_assert!((0..1_000).contains(&short));
        }
    }

    #[test]
    fn page_counts_follow_the_binding(index in 0..3usize, pages: u16) {
        let product = &PRODUCTS[index];
        let count = u32::from(pages);
        let fits = count >= product.pages_min
            && count <= product.pages_max
            && count % product.pages_multiple == 0;
        prop_assert_eq!(product.check_pages(usize::from(pages)).is_ok(), fits);
    }
}

#[test]
fn carriage_is_for_each_started_kilogram_and_dearer_far_away() {
    let book = [print(1, 1, 0)];
    let carriage = |copies: u32, country: &str, currency| {
        let requests = requests(&book, &[copies]);
        let lines: Vec<_> = requests.into_iter().zip(&book).collect();
        price(&lines, Country::find(country).unwrap(), currency).unwrap().shipping.minor
    };
    // A copy weighs 720 g.
    assert_eq!(carriage(1, "DE", Currency::Eur), 390 + 120);
    assert_eq!(carriage(2, "DE", Currency::Eur), 390 + 2 * 120);
    assert_eq!(carriage(25, "DE", Currency::Eur), 390 + 18 * 120, "18 kg to the gram");
    assert_eq!(carriage(26, "NZ", Currency::Eur), 690 + 19 * 310);
    assert_eq!(carriage(1, "DE", Currency::Usd), 561);
    assert_eq!(carriage(1, "DE", Currency::Gbp), 444, "443.7 pence, rounded up");
}

#[test]
fn no_number_of_pages_overflows_a_check() {
    for product in PRODUCTS {
        assert!(product.check_pages(usize::MAX).is_err());
        assert!(product.check_pages(0).is_err());
    }
}
