//! The proof: the PDF is fetched through the API and read again by a reader that did not write it.

use super::{PAGES, SKU};
use crate::failure::{Failure, Outcome};
use printmill_client::Client;
use printmill_client::v1::{GetItemFileRequest, GetProductRequest, Order, Product};
use printmill_domain::problem::Code;
use printmill_press::geometry::Rect;
use printmill_press::reread::PageBoxes;
use std::path::{Path, PathBuf};

/// Boxes may be off by so many micrometres: PDF counts in points.
const TOLERANCE_UM: i64 = 20;

/// A PDF that was found good.
pub(super) struct Proof {
    /// Where it is.
    pub(super) path: PathBuf,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// Bytes.
    pub(super) size: u64,
    /// Pages.
    pub(super) pages: usize,
    /// Pictures in it.
    pub(super) images: usize,
    /// What was checked, in words.
    pub(super) checked: String,
}

/// Downloads an order's PDF and checks it.
pub(super) async fn fetch_and_check(
    client: &Client,
    order: &Order,
    folder: &Path,
) -> Outcome<Proof> {
    let item = order.items.first().ok_or_else(|| invalid("the order has no item"))?;
    let request = GetItemFileRequest { order_id: order.id.clone(), item_id: item.id.clone() };
    let link = client.get_item_file(request).await?;
    let path = folder.join(format!("{}.pdf", order.id));
    client.download(&link, &path, |_, _| {}).await?;
    let product = client.get_product(GetProductRequest { sku: SKU.into() }).await?;
    let bytes = tokio::fs::read(&path).await;
    let bytes = bytes.map_err(|error| Failure::io("read", &path, &error))?;
    let size = bytes.len() as u64;
    let reread = tokio::task::spawn_blocking(move || printmill_press::reread(&bytes)).await;
    let reread = reread.map_err(|error| invalid(&format!("its reader broke: {error}")))?;
    let reread = reread.map_err(|error| invalid(&error.to_string()))?;
    if reread.pages.len() != PAGES as usize {
        return Err(invalid(&format!("it has {} pages, not {PAGES}", reread.pages.len())));
    }
    for (index, page) in reread.pages.iter().enumerate() {
        check_boxes(index + 1, page, &product)?;
    }
    let millimetres = |um: u32| f64::from(um) / 1000.0;
    Ok(Proof {
        sha256: link.sha256,
        size,
        pages: reread.pages.len(),
        images: reread.images,
        checked: format!(
            "PDF {}, {} pages, trim {} × {} mm, bleed {} mm on every side, {} images whole",
            reread.version,
            reread.pages.len(),
            millimetres(product.trim_width_um),
            millimetres(product.trim_height_um),
            millimetres(product.bleed_um),
            reread.images,
        ),
        path,
    })
}

/// The trim must be the product's, and the bleed must surround it evenly.
fn check_boxes(number: usize, page: &PageBoxes, product: &Product) -> Outcome {
    let near = |left: i64, right: i64| (left - right).abs() <= TOLERANCE_UM;
    let PageBoxes { trim, bleed, .. } = page;
    let margin = i64::from(product.bleed_um);
    let surrounding = Rect::new(
        trim.x - margin,
        trim.y - margin,
        trim.width + 2 * margin,
        trim.height + 2 * margin,
    );
    let trim_is_right = near(trim.width, product.trim_width_um.into())
        && near(trim.height, product.trim_height_um.into());
    let bleed_is_right = near(bleed.x, surrounding.x)
        && near(bleed.y, surrounding.y)
        && near(bleed.width, surrounding.width)
        && near(bleed.height, surrounding.height);
    if trim_is_right && bleed_is_right {
        return Ok(());
    }
    Err(invalid(&format!("page {number} has trim {trim:?} and bleed {bleed:?}")))
}

fn invalid(why: &str) -> Failure {
    Failure::new(
        Code::RenderFailed,
        format!("the print-ready PDF is not valid: {why}"),
        "report this with the PDF",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_must_be_those_of_the_product() {
        let product = Product {
            trim_width_um: 210_000,
            trim_height_um: 210_000,
            bleed_um: 3_000,
            ..Default::default()
        };
        let trim = Rect::new(3_000, 3_000, 210_000, 210_000);
        let bleed = Rect::new(0, 0, 216_000, 216_000);
        let page = PageBoxes { media: bleed, crop: bleed, bleed, trim };
        assert!(check_boxes(1, &page, &product).is_ok());
        let narrow = PageBoxes { bleed: Rect::new(0, 0, 216_000, 214_000), ..page };
        assert!(check_boxes(1, &narrow, &product).is_err());
        let small = PageBoxes { trim: Rect::new(3_000, 3_000, 209_000, 210_000), ..page };
        assert!(check_boxes(1, &small, &product).is_err());
    }
}
