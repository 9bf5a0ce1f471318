//! Between designs and the press: a revision as a book, and pictures laid out as pages.

use chrono::NaiveDateTime;
use printmill_domain::asset::Asset;
use printmill_domain::catalogue::Product;
use printmill_domain::ids::PrintId;
use printmill_domain::print::{Fit, Frame, Page, Placement, Revision};
use printmill_press::geometry::Rect;
use printmill_press::layout::{self, Picture};
use printmill_press::photobook::{self, Book, TrimSize};

/// The size of a product's pages.
pub(crate) fn size(product: &Product) -> TrimSize {
    TrimSize::new(
        i64::from(product.trim_width_um),
        i64::from(product.trim_height_um),
        i64::from(product.bleed_um),
    )
}

/// Lays pictures out over pages by time and shape.
pub(crate) fn auto_layout(assets: &[&Asset], page_count: u32, product: &Product) -> Vec<Page> {
    let pictures: Vec<Picture> = assets.iter().filter_map(|asset| picture(asset)).collect();
    let pages = layout::autolayout(&pictures, page_count as usize, size(product));
    pages
        .into_iter()
        .map(|page| Page {
            placements: page
                .placements
                .iter()
                .filter_map(|placement| {
                    let asset = assets.iter().find(|a| a.id.to_string() == placement.picture)?;
                    let fit = match placement.fit {
                        photobook::Fit::Cover => Fit::Cover,
                        photobook::Fit::Contain => Fit::Contain,
                    };
                    let frame = Some(frame(placement.frame));
                    Some(Placement { asset: asset.id, frame, fit })
                })
                .collect(),
        })
        .collect()
}

/// A revision as a book. Its pictures' keys are the hashes of their bytes, so that the same
/// picture uploaded twice is embedded once.
pub(crate) fn book(print: PrintId, revision: &Revision, product: &Product) -> Book {
    let size = size(product);
    let pages = revision.pages.iter().map(|page| photobook::Page {
        placements: page
            .placements
            .iter()
            .filter_map(|placement| {
                let source = revision.sources.get(&placement.asset)?;
                Some(photobook::Placement {
                    picture: source.blob.sha256.clone(),
                    frame: placement.frame.map_or(size.full(), rect),
                    fit: match placement.fit {
                        Fit::Cover => photobook::Fit::Cover,
                        Fit::Contain => photobook::Fit::Contain,
                    },
                })
            })
            .collect(),
    });
    Book {
        title: revision.title.clone(),
        document_id: format!("printmill:{print}:{}", revision.number),
        created_at: revision.created_at,
        size,
        max_ppi: None,
        pages: pages.collect(),
    }
}

fn picture(asset: &Asset) -> Option<Picture> {
    let found = asset.picture.as_ref()?;
    let captured_at = found.captured_at.as_deref();
    Some(Picture {
        key: asset.id.to_string(),
        width: found.width,
        height: found.height,
        captured_at: captured_at
            .and_then(|at| NaiveDateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%S").ok()),
    })
}

fn frame(rect: Rect) -> Frame {
    let signed = |length: i64| i32::try_from(length).unwrap_or_default();
    let unsigned = |length: i64| u32::try_from(length).unwrap_or_default();
    Frame {
        x_um: signed(rect.x),
        y_um: signed(rect.y),
        width_um: unsigned(rect.width),
        height_um: unsigned(rect.height),
    }
}

fn rect(frame: Frame) -> Rect {
    Rect::new(
        i64::from(frame.x_um),
        i64::from(frame.y_um),
        i64::from(frame.width_um),
        i64::from(frame.height_um),
    )
}
