//! Reads a PDF again as another program would, with a reader that knows nothing of how it was written, and checks it.

mod images;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lopdf::content::Content;
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId};

use crate::geometry::{Rect, micrometres};

const MAX_CONTENT_BYTES: usize = 16 * 1024 * 1024;
const MAX_TREE_DEPTH: usize = 32;

/// What is in a PDF that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The PDF version that the file announces, such as `1.6`.
    pub version: String,
    /// The boxes of every page, in order.
    pub pages: Vec<PageBoxes>,
    /// Image objects that pages draw, each counted once.
    pub images: usize,
    /// Those of them that are JPEG.
    pub jpeg_images: usize,
    /// Times that pages draw an image.
    pub drawings: usize,
    /// The title in the Info dictionary, if it has one.
    pub title: Option<String>,
}

/// The boxes of a page in micrometres, from the lower left corner of its coordinates, y growing upwards. A box that the
/// page leaves out has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBoxes {
    /// The sheet.
    pub media: Rect,
    /// What a viewer shows.
    pub crop: Rect,
    /// Up to where pictures run beyond the cut.
    pub bleed: Rect,
    /// The page after cutting.
    pub trim: Rect,
}

/// Why a PDF is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RereadError {
    /// The file cannot be read as a PDF at all.
    #[error("this cannot be read as a PDF: {reason}")]
    Unreadable {
        /// What the reader stumbled over.
        reason: String,
    },
    /// A page is not as it must be.
    #[error("page {page}: {what}")]
    Page {
        /// The page, from 1.
        page: usize,
        /// What is wrong with it.
        what: String,
    },
    /// An image is not whole.
    #[error("image object {object}: {what}")]
    Image {
        /// The number of the object.
        object: u32,
        /// What is wrong with it.
        what: String,
    },
}

impl RereadError {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "PDF_UNREADABLE",
            Self::Page { .. } => "PDF_PAGE_DAMAGED",
            Self::Image { .. } => "PDF_IMAGE_DAMAGED",
        }
    }
}

/// Reads the PDF in `bytes` and checks that its boxes are nested, that every page draws something, that whatever a page
/// draws is there, and that every image is whole. Takes about twice the memory of the file.
pub fn reread(bytes: &[u8]) -> Result<Reread, RereadError> {
    catch_unwind(AssertUnwindSafe(|| read(bytes))).unwrap_or_else(|_| {
        Err(RereadError::Unreadable { reason: "its reader gave up".to_owned() })
    })
}

fn read(bytes: &[u8]) -> Result<Reread, RereadError> {
    let options = LoadOptions {
        strict: true,
        max_decompressed_size: Some(MAX_CONTENT_BYTES),
        ..LoadOptions::default()
    };
    let document = Document::load_mem_with_options(bytes, options)
        .map_err(|error| RereadError::Unreadable { reason: error.to_string() })?;
    let mut pages = Vec::new();
    let mut images = BTreeSet::new();
    let mut drawings = 0;
    for (index, id) in document.page_iter().enumerate() {
        let reader = PageReader { document: &document, id, number: index + 1 };
        pages.push(reader.boxes()?);
        let drawn = reader.drawn_images()?;
        drawings += drawn.len();
        images.extend(drawn);
    }
    let declared = declared_pages(&document);
    if pages.is_empty() || declared != Some(pages.len() as i64) {
        let reason = format!("it has {} pages where it declares {declared:?}", pages.len());
        return Err(RereadError::Unreadable { reason });
    }
    let mut jpeg_images = 0;
    for id in &images {
        jpeg_images += usize::from(images::check(&document, *id)? == images::Coding::Jpeg);
    }
    Ok(Reread {
        version: document.version.clone(),
        pages,
        images: images.len(),
        jpeg_images,
        drawings,
        title: title(&document),
    })
}

fn declared_pages(document: &Document) -> Option<i64> {
    let catalog = document.catalog().ok()?;
    let tree = catalog.get_deref(b"Pages", document).and_then(Object::as_dict).ok()?;
    tree.get_deref(b"Count", document).and_then(Object::as_i64).ok()
}

fn title(document: &Document) -> Option<String> {
    let info = document.trailer.get_deref(b"Info", document).and_then(Object::as_dict).ok()?;
    lopdf::decode_text_string(info.get(b"Title").ok()?).ok()
}

struct PageReader<'a> {
    document: &'a Document,
    id: ObjectId,
    /// From 1.
    number: usize,
}

impl<'a> PageReader<'a> {
    fn boxes(&self) -> Result<PageBoxes, RereadError> {
        let media = self.page_box(b"MediaBox")?.ok_or_else(|| self.error("it has no MediaBox"))?;
        let crop = self.page_box(b"CropBox")?.unwrap_or(media);
        let bleed = self.page_box(b"BleedBox")?.unwrap_or(crop);
        let trim = self.page_box(b"TrimBox")?.unwrap_or(crop);
        if !media.contains(&crop) || !media.contains(&bleed) || !bleed.contains(&trim) {
            return Err(self.error("its boxes are not nested"));
        }
        Ok(PageBoxes { media, crop, bleed, trim })
    }

    fn page_box(&self, name: &[u8]) -> Result<Option<Rect>, RereadError> {
        let inherits = matches!(name, b"MediaBox" | b"CropBox");
        let Some(found) = self.entry(name, inherits) else { return Ok(None) };
        let edges: Option<Vec<f64>> = found.as_array().ok().and_then(|edges| {
            edges.iter().map(|edge| edge.as_float().ok().map(f64::from)).collect()
        });
        let Some([left, bottom, right, top]) = edges.as_deref() else {
            return Err(self.error("a box is not four numbers"));
        };
        let [left, bottom, right, top] = [*left, *bottom, *right, *top].map(micrometres);
        if right <= left || top <= bottom {
            return Err(self.error("a box is empty"));
        }
        Ok(Some(Rect::new(left, bottom, right - left, top - bottom)))
    }

    /// An entry of the page, or of the nodes above it where it may be inherited.
    fn entry(&self, name: &[u8], inherits: bool) -> Option<&'a Object> {
        let mut node: &Dictionary = self.document.get_dictionary(self.id).ok()?;
        for _ in 0..MAX_TREE_DEPTH {
            if let Ok(found) = node.get_deref(name, self.document) {
                return Some(found);
            }
            if !inherits {
                return None;
            }
            node = node.get_deref(b"Parent", self.document).and_then(Object::as_dict).ok()?;
        }
        None
    }

    /// The image objects that the content draws, one for each time.
    fn drawn_images(&self) -> Result<Vec<ObjectId>, RereadError> {
        let content = self
            .document
            .get_page_content_with_limit(self.id, MAX_CONTENT_BYTES)
            .map_err(|error| self.error(&error.to_string()))?;
        let operations = Content::decode(&content)
            .map_err(|error| self.error(&format!("its content cannot be read: {error}")))?
            .operations;
        let resources = self.entry(b"Resources", true).and_then(|found| found.as_dict().ok());
        let pictures = resources.and_then(|resources| {
            resources.get_deref(b"XObject", self.document).and_then(Object::as_dict).ok()
        });
        let (mut drawn, mut depth, mut painted) = (Vec::new(), 0i32, false);
        for operation in &operations {
            match operation.operator.as_str() {
                "q" => depth += 1,
                "Q" => depth -= 1,
                "f" | "f*" | "F" | "B" | "B*" | "S" | "s" | "sh" | "Tj" | "TJ" => painted = true,
                "Do" => {
                    let name = operation.operands.first().and_then(|name| name.as_name().ok());
                    let id = name
                        .and_then(|name| pictures?.get(name).ok())
                        .and_then(|found| found.as_reference().ok())
                        .ok_or_else(|| self.error("it draws something that is not there"))?;
                    drawn.push(id);
                }
                _ => {}
            }
            if depth < 0 {
                return Err(self.error("its content restores a state that it never saved"));
            }
        }
        if depth != 0 || (drawn.is_empty() && !painted) {
            return Err(self.error("its content is cut short or draws nothing"));
        }
        Ok(drawn)
    }

    fn error(&self, what: &str) -> RereadError {
        RereadError::Page { page: self.number, what: what.to_owned() }
    }
}
