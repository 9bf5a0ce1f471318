//! Products on the wire.

use super::money;
use printmill_domain::catalogue::Product;
use printmill_domain::money::{Currency, Money};
use printmill_proto::v1;

/// A product.
pub(crate) fn product(product: &Product) -> v1::Product {
    v1::Product {
        sku: product.sku.into(),
        title: product.title.into(),
        trim_width_um: product.trim_width_um,
        trim_height_um: product.trim_height_um,
        bleed_um: product.bleed_um,
        safe_um: product.safe_um,
        binding: product.binding.name().into(),
        pages_min: product.pages_min,
        pages_max: product.pages_max,
        pages_multiple: product.pages_multiple,
        base_price: money(Money::new(Currency::Eur, product.base_cents)),
        page_price: money(Money::new(Currency::Eur, product.page_cents)),
    }
}
