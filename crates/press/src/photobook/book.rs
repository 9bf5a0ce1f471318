//! What a photo book is: its size, and which picture goes where on which page.

use chrono::{DateTime, Utc};

use crate::geometry::Rect;

/// Longest side that a page may have, bleed included: PDF ends at 14,400 points, or 200 inches.
const MAX_SIDE_MICROMETRES: i64 = 5_080_000;
const MAX_BLEED_MICROMETRES: i64 = 50_000;
/// A lower limit would spoil every picture.
const MIN_RESOLUTION_LIMIT: u32 = 72;
const MAX_PAGES: usize = 10_000;
const MAX_PLACEMENTS: usize = 1_000;

/// The size of a page after cutting, and how far pictures run beyond the cut. All in micrometres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrimSize {
    /// Width after cutting.
    pub width: i64,
    /// Height after cutting.
    pub height: i64,
    /// Bleed on each of the four sides.
    pub bleed: i64,
}

impl TrimSize {
    /// A page size from its sides and bleed, in micrometres.
    pub fn new(width: i64, height: i64, bleed: i64) -> Self {
        Self { width, height, bleed }
    }

    /// The whole page after cutting: a frame for a picture that fills it.
    pub fn full(&self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }
}

/// A book to render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The title that the PDF carries.
    pub title: String,
    /// What identifies the document across versions, for example `uuid:…`; kept as given.
    pub document_id: String,
    /// When the book was made: given, so that the same book gives the same bytes.
    pub created_at: DateTime<Utc>,
    /// The size of each page.
    pub size: TrimSize,
    /// JPEG pictures that would be printed at twice this resolution (in pixels per inch) or more are made smaller, but
    /// not below it. `None` leaves every picture as it is.
    pub max_ppi: Option<u32>,
    /// The pages, in order.
    pub pages: Vec<Page>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Pictures on the page; a later one lies above an earlier one. None means a white page.
    pub placements: Vec<Placement>,
}

/// One picture on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The key under which the sources know the picture.
    pub picture: String,
    /// Where it goes, in micrometres from the upper left corner of the cut page, y growing downwards.
    pub frame: Rect,
    /// How it fits its frame.
    pub fit: Fit,
}

/// How a picture fits its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Fills the frame, centred, what protrudes cut off. A side of the frame on the cut extends through the bleed.
    Cover,
    /// Is seen whole within the frame, centred.
    Contain,
}

/// What is wrong with the description of a book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBook {
    /// The page is too small or too large, or its bleed is.
    #[error("pages of {} x {} micrometres with {} of bleed cannot be made", .0.width, .0.height, .0.bleed)]
    Size(TrimSize),
    /// No pages, or too many.
    #[error("a book of {0} pages cannot be made")]
    PageCount(usize),
    /// A resolution that nobody can want.
    #[error("a limit of {0} pixels per inch makes no sense")]
    Resolution(u32),
    /// A page with too many pictures.
    #[error("page {page} has {pictures} pictures")]
    PictureCount {
        /// The page, from 1.
        page: usize,
        /// How many pictures there are on it.
        pictures: usize,
    },
    /// A frame without area, or beyond the bleed.
    #[error("page {page} has a frame that is empty or outside the page")]
    Frame {
        /// The page, from 1.
        page: usize,
    },
}

impl Book {
    /// Checks that the book can be drawn; [`render`](super::render) does so itself.
    pub fn check(&self) -> Result<(), InvalidBook> {
        let size = self.size;
        let side = 1_000..=MAX_SIDE_MICROMETRES - 2 * MAX_BLEED_MICROMETRES;
        if !side.contains(&size.width)
            || !side.contains(&size.height)
            || !(0..=MAX_BLEED_MICROMETRES).contains(&size.bleed)
        {
            return Err(InvalidBook::Size(size));
        }
        if let Some(ppi) = self.max_ppi.filter(|ppi| *ppi < MIN_RESOLUTION_LIMIT) {
            return Err(InvalidBook::Resolution(ppi));
        }
        if !(1..=MAX_PAGES).contains(&self.pages.len()) {
            return Err(InvalidBook::PageCount(self.pages.len()));
        }
        for (index, page) in self.pages.iter().enumerate() {
            let (page_number, pictures) = (index + 1, page.placements.len());
            if pictures > MAX_PLACEMENTS {
                return Err(InvalidBook::PictureCount { page: page_number, pictures });
            }
            if !page.placements.iter().all(|placement| self.frame_fits(&placement.frame)) {
                return Err(InvalidBook::Frame { page: page_number });
            }
        }
        Ok(())
    }

    fn frame_fits(&self, frame: &Rect) -> bool {
        let TrimSize { width, height, bleed } = self.size;
        let near = |start: i64, length: i64, side: i64| {
            length > 0
                && length <= side + 2 * bleed
                && (-bleed..=side + bleed).contains(&start)
                && start + length <= side + bleed
        };
        near(frame.x, frame.width, width) && near(frame.y, frame.height, height)
    }
}
