//! Things to begin with, and random ones.

use printmill_domain::Timestamp;
use printmill_domain::address::Recipient;
use printmill_domain::asset::BlobRef;
use printmill_domain::catalogue::PRODUCTS;
use printmill_domain::country::Country;
use printmill_domain::facility::{Facility, starter_facilities};
use printmill_domain::ids::{AssetId, Id, MerchantId, PrintId};
use printmill_domain::money::Currency;
use printmill_domain::pricing::{LineRequest, Price, price};
use printmill_domain::print::{Content, Fit, Frame, Page, Placement, Print, Source};
use printmill_domain::problem::{Code, Problem};
use printmill_domain::shipment::Tracking;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Noon on the first day of 2026, and so many seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_268_800 + seconds, 0).expect("near enough")
}

/// An id by number.
pub(crate) fn id<T: Id>(number: u64) -> T {
    T::from_uuid(Uuid::from_u128((0x0197_0000_0000_7000_8000 << 48) | u128::from(number)))
}

pub(crate) fn merchant() -> MerchantId {
    id(77)
}

pub(crate) fn recipient(country: &str) -> Recipient {
    Recipient {
        name: "Ada Lovelace".into(),
        lines: vec!["12 St James's Square".into()],
        city: "Ortstadt".into(),
        postal_code: "10115".into(),
        region: String::new(),
        country: country.into(),
    }
}

/// A blob by number.
pub(crate) fn blob(number: u8) -> BlobRef {
    BlobRef { sha256: format!("{number:02x}").repeat(32), size: 1_000 }
}

pub(crate) fn problem(number: u8) -> Problem {
    Problem::new(Code::RenderFailed, format!("reason {number}"), "look at it")
}

/// Good tracking by number.
pub(crate) fn tracking(number: u8) -> Tracking {
    let url = if number.is_multiple_of(2) { String::new() } else { "https://post.test/1".into() };
    Tracking { carrier: "Post".into(), number: format!("PM{number}"), url }
}

/// Tracking that is refused.
pub(crate) fn bad_tracking() -> Tracking {
    Tracking { carrier: String::new(), number: "1".into(), url: "javascript:alert(1)".into() }
}

/// Content with so many white pages.
pub(crate) fn white(sku: &str, pages: usize) -> Content {
    Content {
        sku: sku.into(),
        title: "White".into(),
        pages: vec![Page { placements: vec![] }; pages],
        sources: BTreeMap::new(),
    }
}

/// A print of the product at an index with so many more steps of pages than the fewest.
pub(crate) fn print(number: u64, product: usize, steps: u32) -> Print {
    let product = &PRODUCTS[product % PRODUCTS.len()];
    let range = (product.pages_max - product.pages_min) / product.pages_multiple;
    let pages = product.pages_min + steps % (range + 1) * product.pages_multiple;
    let content = white(product.sku, pages as usize);
    let print_id: PrintId = id(1_000 + number);
    Print::create(print_id, merchant(), content, at(0)).expect("it fits the product").state
}

/// The price of so many lines.
pub(crate) fn price_of(lines: usize) -> Price {
    let prints: Vec<Print> = (0..lines).map(|n| print(n as u64, n, n as u32)).collect();
    let requests: Vec<_> = prints
        .iter()
        .enumerate()
        .map(|(n, print)| {
            let quantity = n as u32 + 1;
            (LineRequest { print: print.id, revision: None, quantity }, print)
        })
        .collect();
    price(&requests, Country::find("DE").expect("served"), Currency::Eur).expect("few copies")
}

pub(crate) fn facilities() -> Vec<Facility> {
    starter_facilities(at(0))
}

/// Contents, most of which are good.
pub(crate) fn contents() -> impl Strategy<Value = Content> {
    let pages = prop_oneof![
        4 => (0..4usize, 0..8usize).prop_map(|(product, steps)| {
            let product = &PRODUCTS[product % PRODUCTS.len()];
            (product.sku.to_owned(), product.pages_min as usize + 4 * steps)
        }),
        1 => (prop_oneof!["photobook-a4-hard", "[a-z]{0,9}"], 0..200usize),
    ];
    let title = prop_oneof![6 => "[ -~äß]{0,40}", 1 => "[a-z]{199,203}", 1 => "a\u{7}b"];
    let placements = prop::collection::vec((0..200usize, placements()), 0..6);
    (pages, title, placements, any::<bool>()).prop_map(|((sku, pages), title, placed, known)| {
        let mut content = Content { title, ..white(&sku, pages) };
        let mut sources = BTreeMap::new();
        for (page, placements) in placed {
            for placement in &placements {
                let source = Source { blob: blob(1), width: 3_000, height: 2_000 };
                sources.insert(placement.asset, source);
            }
            if !content.pages.is_empty() {
                let index = page % content.pages.len();
                content.pages[index].placements.extend(placements);
            }
        }
        if !known {
            sources.pop_first();
        }
        Content { sources, ..content }
    })
}

fn placements() -> impl Strategy<Value = Vec<Placement>> {
    // The bleed begins at -3 or -4 mm; a page of 210 mm ends at 213 or 214 mm with it.
    let edge = prop::sample::select(vec![-4_001, -4_000, -3_001, -3_000, 0i32]);
    let far = prop::sample::select(vec![213_000, 213_001, 214_000, 214_001i32]);
    let reaching = (0..100_000i32, edge, 1..48_000u32, far)
        .prop_map(|(x, y, width, end)| (x, y, width, end.abs_diff(y)));
    let frame = prop_oneof![
        3 => (-3_000..100_000i32, -3_000..100_000i32, 1..48_000u32, 1..110_000u32),
        2 => reaching,
        1 => any::<(i32, i32, u32, u32)>(),
    ];
    let frame = frame.prop_map(|(x_um, y_um, width_um, height_um)| Frame {
        x_um,
        y_um,
        width_um,
        height_um,
    });
    let fit = prop_oneof![Just(Fit::Cover), Just(Fit::Contain)];
    let one = (0..5u64, prop::option::of(frame), fit).prop_map(|(asset, frame, fit)| Placement {
        asset: id::<AssetId>(asset),
        frame,
        fit,
    });
    prop_oneof![5 => prop::collection::vec(one.clone(), 0..3), 1 => prop::collection::vec(one, 12..14)]
}
