//! Prints: designs, as a row of revisions that never change.

use crate::Timestamp;
use crate::aggregate::{Aggregate, Decided, Kind};
use crate::asset::BlobRef;
use crate::catalogue::product;
use crate::event::Stream;
use crate::ids::{AssetId, MerchantId, PrintId};
use crate::problem::{Problem, Violation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The most pictures that a page may have.
pub const PLACEMENTS_MAX: usize = 12;
/// The most revisions that a print may have.
pub const REVISIONS_MAX: usize = 200;

/// How a picture fills its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It covers the frame; what sticks out is cut off evenly.
    Cover,
    /// It is shown whole, centred in the frame.
    Contain,
}

/// A rectangle on a page, in micrometres from the top left corner of the trimmed page. It may
/// reach into the bleed, where coordinates are negative or beyond the trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// From the left edge of the trim.
    pub x_um: i32,
    /// From the top edge of the trim.
    pub y_um: i32,
    /// Width.
    pub width_um: u32,
    /// Height.
    pub height_um: u32,
}

/// A picture on a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The picture.
    pub asset: AssetId,
    /// Where it goes; nothing means the whole page with its bleed.
    pub frame: Option<Frame>,
    /// How it fills the frame.
    pub fit: Fit,
}

/// A page: its pictures, the first at the bottom. No pictures means a white page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The pictures.
    pub placements: Vec<Placement>,
}

/// What a revision remembers of a picture, so that it can be made without asking again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The bytes.
    pub blob: BlobRef,
    /// Pixels across, as seen.
    pub width: u32,
    /// Pixels down, as seen.
    pub height: u32,
}

/// A design as it is ordered. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number, from 1.
    pub number: u32,
    /// The product.
    pub sku: String,
    /// The title, which is printed in the file's metadata.
    pub title: String,
    /// The pages in reading order.
    pub pages: Vec<Page>,
    /// The pictures used, by asset.
    pub sources: BTreeMap<AssetId, Source>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The content of a revision, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The product.
    pub sku: String,
    /// The title.
    pub title: String,
    /// The pages in reading order.
    pub pages: Vec<Page>,
    /// The pictures used, by asset.
    pub sources: BTreeMap<AssetId, Source>,
}

/// Where a print is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrintState {
    /// It can be ordered and revised.
    Active,
    /// It is kept for its orders' sake only.
    Archived,
}

/// A design with all its revisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Print {
    /// The id.
    pub id: PrintId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// Where it is in its life.
    pub state: PrintState,
    /// All revisions, oldest first. Never empty.
    pub revisions: Vec<Revision>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last place used in its history.
    pub sequence: u64,
}

/// What can happen to a print.
#[derive(Debug, Clone, PartialEq)]
pub enum PrintCommand {
    /// Another revision.
    Revise(Content),
    /// No more orders.
    Archive,
}

impl Print {
    /// A new design with its first revision.
    pub fn create(
        id: PrintId,
        merchant: MerchantId,
        content: Content,
        now: Timestamp,
    ) -> Result<Decided<Print>, Problem> {
        let revision = revision(1, content, now)?;
        let mut print = Print {
            id,
            merchant,
            state: PrintState::Active,
            revisions: vec![revision],
            created_at: now,
            sequence: 0,
        };
        let mut stream = Stream::new(id, &mut print.sequence);
        stream.push("print.created", id, json!({ "sku": print.revisions[0].sku }));
        let events = stream.finish();
        Ok(Decided { state: print, events, tickets: vec![] })
    }

    /// Decides what a command does.
    pub fn decide(&self, command: PrintCommand, now: Timestamp) -> Result<Decided<Print>, Problem> {
        let mut next = self.clone();
        let mut stream = Stream::new(self.id, &mut next.sequence);
        match (self.state, command) {
            (PrintState::Active, PrintCommand::Revise(content)) => {
                if self.revisions.len() >= REVISIONS_MAX {
                    return Err(Problem::invalid_state(
                        format!("{} has {REVISIONS_MAX} revisions already", self.id),
                        "create a new print with the latest content",
                    ));
                }
                let number = self.revisions.len() as u32 + 1;
                next.revisions.push(revision(number, content, now)?);
                stream.push("print.revised", self.id, json!({ "revision": number }));
            }
            (PrintState::Active, PrintCommand::Archive) => {
                next.state = PrintState::Archived;
                stream.push("print.archived", self.id, json!({}));
            }
            (PrintState::Archived, PrintCommand::Archive) => {
                return Ok(Decided::quiet(self.clone()));
            }
            (PrintState::Archived, PrintCommand::Revise(_)) => return Err(self.archived()),
        }
        let events = stream.finish();
        Ok(Decided { state: next, events, tickets: vec![] })
    }

    /// The revision with a number, or the latest for nothing.
    pub fn revision(&self, number: Option<u32>) -> Result<&Revision, Problem> {
        let found = match number {
            None => self.revisions.last(),
            Some(number) => self.revisions.iter().find(|revision| revision.number == number),
        };
        found.ok_or_else(|| {
            Problem::not_found("revision", format!("{} of {}", number.unwrap_or(0), self.id))
        })
    }

    /// The revision, if the print may still be ordered.
    pub fn orderable(&self, number: Option<u32>) -> Result<&Revision, Problem> {
        match self.state {
            PrintState::Active => self.revision(number),
            PrintState::Archived => Err(self.archived()),
        }
    }

    fn archived(&self) -> Problem {
        Problem::invalid_state(format!("{} is archived", self.id), "create a new print")
    }
}

fn revision(number: u32, content: Content, now: Timestamp) -> Result<Revision, Problem> {
    let product = product(&content.sku).map_err(|problem| problem.with_field("sku"))?;
    product.check_pages(content.pages.len()).map_err(|problem| problem.with_field("pages"))?;
    let mut violations = vec![];
    if content.title.chars().count() > 200 || content.title.chars().any(char::is_control) {
        violations.push(Violation {
            field: "title".into(),
            description: "must be text of at most 200 characters".into(),
        });
    }
    for (index, page) in content.pages.iter().enumerate() {
        if page.placements.len() > PLACEMENTS_MAX {
            violations.push(Violation {
                field: format!("pages[{index}].placements"),
                description: format!("must have at most {PLACEMENTS_MAX} pictures"),
            });
        }
        for (place, placement) in page.placements.iter().enumerate() {
            let frame_fits = placement.frame.is_none_or(|frame| fits(frame, product));
            if !frame_fits {
                violations.push(Violation {
                    field: format!("pages[{index}].placements[{place}].frame"),
                    description: "must have a size and lie within the page with its bleed".into(),
                });
            }
            if !content.sources.contains_key(&placement.asset) {
                return Err(Problem::not_found("asset", placement.asset));
            }
        }
    }
    if !violations.is_empty() {
        return Err(Problem::invalid_fields(violations));
    }
    let Content { sku, title, pages, sources } = content;
    Ok(Revision { number, sku, title, pages, sources, created_at: now })
}

fn fits(frame: Frame, product: &crate::catalogue::Product) -> bool {
    let bleed = i64::from(product.bleed_um);
    let inside = |start: i32, length: u32, trim: u32| {
        let (start, length) = (i64::from(start), i64::from(length));
        length > 0 && start >= -bleed && start + length <= i64::from(trim) + bleed
    };
    inside(frame.x_um, frame.width_um, product.trim_width_um)
        && inside(frame.y_um, frame.height_um, product.trim_height_um)
}

impl Aggregate for Print {
    const KIND: Kind = Kind::Print;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn merchant(&self) -> MerchantId {
        self.merchant
    }
    fn state(&self) -> &'static str {
        match self.state {
            PrintState::Active => "active",
            PrintState::Archived => "archived",
        }
    }
    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}
