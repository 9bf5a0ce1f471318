//! Prints on the wire.

use super::{etag, id, time};
use printmill_domain::aggregate::Versioned;
use printmill_domain::print::{Fit, Frame, Page, Placement, Print, PrintState};
use printmill_domain::problem::{Problem, Violation};
use printmill_prints::{Design, Layout, PICTURES_MAX};
use printmill_proto::v1;

/// The most pages that are looked at; each product allows fewer.
const PAGES_MAX: usize = 1_000;
/// The most pictures of a page that are looked at; the domain allows fewer.
const PLACEMENTS_MAX: usize = 100;

/// The design that a request describes.
pub(crate) fn design(content: Option<v1::Content>) -> Result<Design, Problem> {
    let missing = |field: &str| Problem::invalid_field(field, "must be given");
    let content = content.ok_or_else(|| missing("content"))?;
    if content.sku.is_empty() {
        return Err(missing("content.sku"));
    }
    let layout = match content.layout {
        None => return Err(missing("content.pages")),
        Some(v1::content::Layout::Pages(pages)) => {
            if pages.pages.len() > PAGES_MAX {
                let description = format!("must have at most {PAGES_MAX} pages");
                return Err(Problem::invalid_field("content.pages.pages", description));
            }
            let pages = pages.pages.iter().enumerate();
            Layout::Pages(
                pages.map(|(index, page)| read_page(index, page)).collect::<Result<_, _>>()?,
            )
        }
        Some(v1::content::Layout::AutoLayout(auto)) => {
            let field = "content.auto_layout.asset_ids";
            if auto.asset_ids.is_empty() || auto.asset_ids.len() > PICTURES_MAX {
                let description = format!("must name 1 to {PICTURES_MAX} assets");
                return Err(Problem::invalid_field(field, description));
            }
            let ids = auto.asset_ids.iter().enumerate();
            let assets = ids.map(|(index, text)| id(&format!("{field}[{index}]"), text));
            Layout::Auto { assets: assets.collect::<Result<_, _>>()?, page_count: auto.page_count }
        }
    };
    Ok(Design { sku: content.sku, title: content.title, layout })
}

fn read_page(index: usize, page: &v1::Page) -> Result<Page, Problem> {
    let path = format!("content.pages.pages[{index}].placements");
    if page.placements.len() > PLACEMENTS_MAX {
        return Err(Problem::invalid_field(path, "has too many pictures"));
    }
    let placements = page.placements.iter().enumerate().map(|(place, placement)| {
        let fit = match placement.fit() {
            v1::Fit::Unspecified | v1::Fit::Cover => Fit::Cover,
            v1::Fit::Contain => Fit::Contain,
        };
        Ok(Placement {
            asset: id(&format!("{path}[{place}].asset_id"), &placement.asset_id)?,
            frame: placement.frame.map(|frame| Frame {
                x_um: frame.x_um,
                y_um: frame.y_um,
                width_um: frame.width_um,
                height_um: frame.height_um,
            }),
            fit,
        })
    });
    Ok(Page { placements: placements.collect::<Result<_, Problem>>()? })
}

/// Names the fields of a refusal as the contract does, which nests what the domain has flat.
pub(crate) fn located(mut problem: Problem, automatic: bool) -> Problem {
    for Violation { field, .. } in &mut problem.violations {
        *field = match field.as_str() {
            "pages" | "content.pages" if automatic => "content.auto_layout.page_count".to_owned(),
            "pages" | "content.pages" => "content.pages.pages".to_owned(),
            "sku" | "title" => format!("content.{field}"),
            path if path.starts_with("pages[") => format!("content.pages.{path}"),
            path => path.to_owned(),
        };
    }
    problem
}

/// A print with one of its revisions; nothing for the latest.
pub(crate) fn print(print: &Versioned<Print>, revision: Option<u32>) -> Result<v1::Print, Problem> {
    let revision = print.revision(revision)?;
    let state = match print.state {
        PrintState::Active => "active",
        PrintState::Archived => "archived",
    };
    Ok(v1::Print {
        id: print.id.to_string(),
        state: state.into(),
        revision: revision.number,
        sku: revision.sku.clone(),
        title: revision.title.clone(),
        pages: revision.pages.iter().map(page).collect(),
        create_time: time(print.created_at),
        etag: etag(print.version),
    })
}

fn page(page: &Page) -> v1::Page {
    let placements = page.placements.iter().map(|placement| v1::Placement {
        asset_id: placement.asset.to_string(),
        frame: placement.frame.map(|frame| v1::Frame {
            x_um: frame.x_um,
            y_um: frame.y_um,
            width_um: frame.width_um,
            height_um: frame.height_um,
        }),
        fit: match placement.fit {
            Fit::Cover => v1::Fit::Cover.into(),
            Fit::Contain => v1::Fit::Contain.into(),
        },
    });
    v1::Page { placements: placements.collect() }
}

/// Reads an etag; empty means any.
pub(crate) fn expected(etag: &str) -> Result<Option<u64>, Problem> {
    match etag {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Problem::invalid_field("etag", "must be the etag of an earlier answer")),
    }
}
