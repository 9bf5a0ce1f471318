//! The starter catalogue: what can be made, with its geometry, page rules and prices.

use crate::money::{Currency, Money};
use crate::problem::{Code, Problem};

/// How the sheets are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Folded and stapled.
    SaddleStitch,
    /// Glued at the spine, soft cover.
    Perfect,
    /// Glued into a hard cover.
    Case,
}

impl Binding {
    /// The name that clients and facilities use.
    pub fn name(self) -> &'static str {
        match self {
            Binding::SaddleStitch => "saddle_stitch",
            Binding::Perfect => "perfect",
            Binding::Case => "case",
        }
    }
}

/// What can be made. Lengths are micrometres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The stock-keeping unit: the product's public name.
    pub sku: &'static str,
    /// The name that people read.
    pub title: &'static str,
    /// The finished page's width.
    pub trim_width_um: u32,
    /// The finished page's height.
    pub trim_height_um: u32,
    /// How far pictures must reach beyond the trim on every side.
    pub bleed_um: u32,
    /// How far from the trim nothing of importance may be.
    pub safe_um: u32,
    /// How the sheets are held together.
    pub binding: Binding,
    /// The fewest pages.
    pub pages_min: u32,
    /// The most pages.
    pub pages_max: u32,
    /// Page counts must be a multiple of this.
    pub pages_multiple: u32,
    /// Below this many pixels per inch a picture looks soft.
    pub ppi_warning: u32,
    /// The price of a copy with the fewest pages, in EUR cents.
    pub base_cents: i64,
    /// The price of each further page, in EUR cents.
    pub page_cents: i64,
    /// The weight of a copy with the fewest pages, in grams.
    pub base_grams: u32,
    /// The weight of each further page, in hundredths of a gram.
    pub page_centigrams: u32,
}

/// The products that every new node sells.
pub const PRODUCTS: &[Product] = &[
    Product {
        sku: "photobook-square-210-soft",
        title: "Photobook, square 21 × 21 cm, soft cover",
        trim_width_um: 210_000,
        trim_height_um: 210_000,
        bleed_um: 3_000,
        safe_um: 5_000,
        binding: Binding::Perfect,
        pages_min: 24,
        pages_max: 120,
        pages_multiple: 2,
        ppi_warning: 200,
        base_cents: 1_490,
        page_cents: 35,
        base_grams: 210,
        page_centigrams: 440,
    },
    Product {
        sku: "photobook-a4-hard",
        title: "Photobook, A4 landscape, hard cover",
        trim_width_um: 297_000,
        trim_height_um: 210_000,
        bleed_um: 4_000,
        safe_um: 6_000,
        binding: Binding::Case,
        pages_min: 24,
        pages_max: 160,
        pages_multiple: 4,
        ppi_warning: 200,
        base_cents: 2_990,
        page_cents: 55,
        base_grams: 720,
        page_centigrams: 620,
    },
    Product {
        sku: "magazine-a5-stapled",
        title: "Magazine, A5, stapled",
        trim_width_um: 148_000,
        trim_height_um: 210_000,
        bleed_um: 3_000,
        safe_um: 5_000,
        binding: Binding::SaddleStitch,
        pages_min: 8,
        pages_max: 64,
        pages_multiple: 4,
        ppi_warning: 180,
        base_cents: 390,
        page_cents: 12,
        base_grams: 60,
        page_centigrams: 200,
    },
];

/// Finds a product by SKU.
pub fn product(sku: &str) -> Result<&'static Product, Problem> {
    PRODUCTS.iter().find(|product| product.sku == sku).ok_or_else(|| {
        let known: Vec<_> = PRODUCTS.iter().map(|product| product.sku).collect();
        Problem::new(
            Code::UnknownSku,
            format!("there is no product '{}'", sku.chars().take(64).collect::<String>()),
            format!("use one of {}", known.join(", ")),
        )
    })
}

impl Product {
    /// Checks a number of pages against the binding's rules.
    pub fn check_pages(&self, pages: usize) -> Result<(), Problem> {
        let count = u32::try_from(pages).unwrap_or(u32::MAX);
        let fits = (self.pages_min..=self.pages_max).contains(&count)
            && count.is_multiple_of(self.pages_multiple);
        if fits {
            return Ok(());
        }
        Err(Problem::new(
            Code::PageCountOutOfRange,
            format!("{} cannot be made with {pages} pages", self.sku),
            format!(
                "use {} to {} pages, in multiples of {}",
                self.pages_min, self.pages_max, self.pages_multiple
            ),
        ))
    }

    /// The price of one copy, in a currency.
    pub fn unit_price(&self, pages: u32, currency: Currency) -> Money {
        let more = i64::from(pages.saturating_sub(self.pages_min));
        let cents = self.base_cents + self.page_cents * more;
        Money::new(currency, converted(cents, currency))
    }

    /// The weight of one copy, in grams, rounded up.
    pub fn grams(&self, pages: u32) -> u32 {
        let more = pages.saturating_sub(self.pages_min);
        self.base_grams + (more * self.page_centigrams).div_ceil(100)
    }
}

/// EUR cents in another currency by the catalogue's own list rates, rounded up.
pub fn converted(eur_cents: i64, currency: Currency) -> i64 {
    let thousandths = match currency {
        Currency::Eur => 1_000,
        Currency::Gbp => 870,
        Currency::Usd => 1_100,
    };
    (eur_cents * thousandths + 999) / 1_000
}
