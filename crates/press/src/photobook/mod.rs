//! Writes a photo book as a print-ready PDF, page after page, holding one picture at a time.

mod book;
mod page;

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_writer::{Chunk, Finish, Name, Ref};

pub use book::{Book, Fit, InvalidBook, Page, Placement, TrimSize};

use crate::inspect::{InspectError, Limits};
use crate::pdf::file::PdfFile;
use crate::pdf::image::{EmbedError, EmbeddedPicture, embed};
use crate::pdf::metadata::About;
use crate::pdf::profile::Profiles;

/// Names the way in which books are drawn. It changes whenever the same book would give other bytes.
pub const RENDERER_VERSION: &str = "photobook-1";

/// Where the bytes of pictures come from.
pub trait Sources {
    /// All the bytes of one picture. Called at most once for each key, and the bytes are dropped before the next call.
    fn open(&mut self, key: &str) -> io::Result<Vec<u8>>;
}

impl<F: FnMut(&str) -> io::Result<Vec<u8>>> Sources for F {
    fn open(&mut self, key: &str) -> io::Result<Vec<u8>> {
        self(key)
    }
}

/// How far the rendering is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pages written, from 1.
    pub page: usize,
    /// Pages in the book.
    pub pages: usize,
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Pages in the PDF.
    pub pages: usize,
    /// Size of the PDF in bytes.
    pub bytes: u64,
    /// SHA-256 of the PDF.
    pub sha256: [u8; 32],
    /// Every picture in the book, in order of first use.
    pub pictures: Vec<PictureUse>,
    /// Pictures whose compressed bytes went into the PDF untouched.
    pub passed_through: usize,
    /// Pictures that were compressed anew: a PNG of a kind that PDF does not know, without loss, or a JPEG made smaller
    /// for [`Book::max_ppi`].
    pub reencoded: usize,
}

/// How one picture is used in a book.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureUse {
    /// The key under which the sources know it.
    pub key: String,
    /// Times it is placed.
    pub placements: usize,
    /// The lowest resolution at which it is printed, in pixels per inch of paper.
    pub effective_ppi: f64,
    /// Whether its compressed bytes went into the PDF untouched.
    pub passed_through: bool,
}

/// Why there is no PDF. What was written to the output until then is worthless.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The book cannot be drawn as it is described.
    #[error("the book is not valid")]
    Book(#[source] InvalidBook),
    /// The sources did not give a picture.
    #[error("picture {key} could not be fetched")]
    Source {
        /// The picture's key.
        key: String,
        /// What the sources said.
        #[source]
        source: io::Error,
    },
    /// A picture cannot be printed.
    #[error("picture {key} cannot be printed")]
    Picture {
        /// The picture's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: InspectError,
    },
    /// The output did not take the bytes.
    #[error("the PDF could not be written")]
    Write(#[source] io::Error),
    /// The progress callback said to stop.
    #[error("rendering was cancelled after page {page}")]
    Cancelled {
        /// Pages written until then.
        page: usize,
    },
}

impl RenderError {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Book(_) => "PRINT_BOOK_INVALID",
            Self::Source { .. } => "PRINT_PICTURE_UNAVAILABLE",
            Self::Picture { source, .. } => source.code(),
            Self::Write(_) => "PRINT_OUTPUT_FAILED",
            Self::Cancelled { .. } => "PRINT_CANCELLED",
        }
    }

    /// Whether the same call may succeed later: trouble with the sources or the output, not with the book.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::Write(_))
    }
}

/// Renders `book` into `out`.
///
/// The same book with the same pictures gives the same bytes. Memory does not grow with the number of pages: each object
/// is written as it is made, and one picture's bytes are held at a time. A picture that is placed several times is
/// embedded once. `progress` is called after each page and may stop the work with [`ControlFlow::Break`].
pub fn render(
    book: &Book,
    sources: &mut dyn Sources,
    out: &mut impl Write,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Rendered, RenderError> {
    book.check().map_err(RenderError::Book)?;
    let mut placements: HashMap<&str, Vec<&Placement>> = HashMap::new();
    for placement in book.pages.iter().flat_map(|page| &page.placements) {
        placements.entry(&placement.picture).or_default().push(placement);
    }
    let mut press = Press {
        book,
        placements,
        file: PdfFile::start(out).map_err(RenderError::Write)?,
        profiles: Profiles::default(),
        embedded: HashMap::new(),
        uses: Vec::new(),
    };
    let catalog = press.file.reserve();
    let tree = press.file.reserve();
    let mut pages = Vec::with_capacity(book.pages.len());
    for page in &book.pages {
        pages.push(press.page(page, tree, sources)?);
        let done = Progress { page: pages.len(), pages: book.pages.len() };
        if progress(done).is_break() {
            return Err(RenderError::Cancelled { page: done.page });
        }
    }
    press.finish(catalog, tree, &pages).map_err(RenderError::Write)
}

struct Press<'a, W> {
    book: &'a Book,
    /// Every placement of each picture.
    placements: HashMap<&'a str, Vec<&'a Placement>>,
    file: PdfFile<W>,
    profiles: Profiles,
    /// Pictures in the file by key, each with its place in `uses`.
    embedded: HashMap<String, (EmbeddedPicture, usize)>,
    uses: Vec<PictureUse>,
}

impl<W: Write> Press<'_, W> {
    fn page(
        &mut self,
        page: &Page,
        tree: Ref,
        sources: &mut dyn Sources,
    ) -> Result<Ref, RenderError> {
        let mut drawings = Vec::with_capacity(page.placements.len());
        for placement in &page.placements {
            let picture = self.picture(&placement.picture, sources)?;
            let drawing = page::Drawing::new(self.book, placement, &picture);
            self.note_use(&placement.picture, drawing.effective_ppi);
            drawings.push(drawing);
        }
        let content_id = self.file.reserve();
        let page_id = self.file.reserve();
        let content = page::content(self.book.size, &drawings);
        self.file.stream(content_id, &[&content], |_| {}).map_err(RenderError::Write)?;
        let chunk = page::object(self.book, page_id, tree, content_id, &drawings);
        self.file.object(page_id, &chunk).map_err(RenderError::Write)?;
        Ok(page_id)
    }

    /// The picture with this key, embedded now if it is not yet.
    fn picture(
        &mut self,
        key: &str,
        sources: &mut dyn Sources,
    ) -> Result<EmbeddedPicture, RenderError> {
        if let Some((picture, _)) = self.embedded.get(key) {
            return Ok(picture.clone());
        }
        let bytes = sources
            .open(key)
            .map_err(|source| RenderError::Source { key: key.to_owned(), source })?;
        let limits = Limits::default();
        let (file, profiles) = (&mut self.file, &mut self.profiles);
        let (book, placements) = (self.book, &self.placements);
        let part_needed = |seen| {
            let all = placements.get(key).into_iter().flatten();
            let lowest = all
                .map(|placement| page::effective_ppi(placement, &book.size, seen))
                .fold(f64::INFINITY, f64::min);
            book.max_ppi.map_or(1.0, |most| f64::from(most) / lowest)
        };
        let attempt = || embed(file, profiles, &bytes, &limits, part_needed);
        let picture = catch_unwind(AssertUnwindSafe(attempt))
            .unwrap_or_else(|_| Err(InspectError::damaged("picture", "its decoder gave up").into()))
            .map_err(|error| match error {
                EmbedError::Write(source) => RenderError::Write(source),
                EmbedError::Picture(source) => RenderError::Picture { key: key.to_owned(), source },
            })?;
        self.embedded.insert(key.to_owned(), (picture.clone(), self.uses.len()));
        self.uses.push(PictureUse {
            key: key.to_owned(),
            placements: 0,
            effective_ppi: f64::INFINITY,
            passed_through: picture.passed_through,
        });
        Ok(picture)
    }

    fn note_use(&mut self, key: &str, effective_ppi: f64) {
        let place = self.embedded.get(key).map(|(_, place)| *place);
        if let Some(used) = place.and_then(|place| self.uses.get_mut(place)) {
            used.placements += 1;
            used.effective_ppi = used.effective_ppi.min(effective_ppi);
        }
    }

    fn finish(mut self, catalog: Ref, tree: Ref, pages: &[Ref]) -> io::Result<Rendered> {
        let mut chunk = Chunk::new();
        chunk.pages(tree).kids(pages.iter().copied()).count(pages.len() as i32);
        self.file.object(tree, &chunk)?;
        let about = About {
            title: &self.book.title,
            document_id: &self.book.document_id,
            created_at: self.book.created_at,
        };
        let info = about.write_info(&mut self.file)?;
        let content_id = self.file.content_id();
        let metadata = about.write_xmp(&mut self.file, content_id)?;
        let mut chunk = Chunk::new();
        let mut entries = chunk.indirect(catalog).dict();
        entries.pair(Name(b"Type"), Name(b"Catalog"));
        entries.pair(Name(b"Pages"), tree);
        entries.pair(Name(b"Metadata"), metadata);
        entries.insert(Name(b"ViewerPreferences")).dict().pair(Name(b"DisplayDocTitle"), true);
        entries.finish();
        self.file.object(catalog, &chunk)?;
        let finished = self.file.finish(catalog, info, content_id)?;
        let passed_through = self.uses.iter().filter(|used| used.passed_through).count();
        Ok(Rendered {
            pages: pages.len(),
            bytes: finished.bytes,
            sha256: finished.sha256,
            passed_through,
            reencoded: self.uses.len() - passed_through,
            pictures: self.uses,
        })
    }
}
