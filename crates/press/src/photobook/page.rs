//! One page: its boxes, and the operators that draw its pictures.

use pdf_writer::{Chunk, Content, Finish, Name, Ref};

use super::book::{Book, Fit, Placement, TrimSize};
use crate::geometry::{MICROMETRES_PER_INCH, Rect, points};
use crate::pdf::image::EmbeddedPicture;

/// A picture ready to be drawn. Lengths are in points, the origin is the lower left corner of the bleed.
pub(super) struct Drawing {
    object: Ref,
    matrix: [f64; 6],
    clip: Option<[f64; 4]>,
    /// Pixels of the picture per inch of paper.
    pub(super) effective_ppi: f64,
}

impl Drawing {
    pub(super) fn new(book: &Book, placement: &Placement, picture: &EmbeddedPicture) -> Self {
        let covers = placement.fit == Fit::Cover;
        let frame = drawn_frame(placement, &book.size);
        let (seen_width, seen_height) = (f64::from(picture.seen.0), f64::from(picture.seen.1));
        let micrometres_per_pixel = micrometres_per_pixel(placement, &book.size, picture.seen);
        let scale = micrometres_per_pixel * 72.0 / MICROMETRES_PER_INCH as f64;
        let (width, height) = (seen_width * scale, seen_height * scale);
        // The frame seen from the lower left corner of the bleed, y growing upwards.
        let left = points(frame.x + book.size.bleed);
        let bottom = points(book.size.height + book.size.bleed - frame.y - frame.height);
        let (frame_width, frame_height) = (points(frame.width), points(frame.height));
        let x = left + (frame_width - width) / 2.0;
        let y = bottom + (frame_height - height) / 2.0;
        Self {
            object: picture.object,
            matrix: picture.orientation.matrix(x, y, width, height),
            clip: covers.then_some([left, bottom, frame_width, frame_height]),
            effective_ppi: MICROMETRES_PER_INCH as f64 / micrometres_per_pixel,
        }
    }

    fn name(&self) -> String {
        format!("Im{}", self.object.get())
    }
}

/// The resolution, in pixels per inch, at which a placement prints a picture of this size as seen.
pub(super) fn effective_ppi(placement: &Placement, size: &TrimSize, seen: (u32, u32)) -> f64 {
    MICROMETRES_PER_INCH as f64 / micrometres_per_pixel(placement, size, seen)
}

fn micrometres_per_pixel(placement: &Placement, size: &TrimSize, seen: (u32, u32)) -> f64 {
    let frame = drawn_frame(placement, size);
    let across = frame.width as f64 / f64::from(seen.0);
    let down = frame.height as f64 / f64::from(seen.1);
    match placement.fit {
        Fit::Cover => across.max(down),
        Fit::Contain => across.min(down),
    }
}

fn drawn_frame(placement: &Placement, size: &TrimSize) -> Rect {
    match placement.fit {
        Fit::Cover => through_bleed(placement.frame, size),
        Fit::Contain => placement.frame,
    }
}

/// The frame with each side that lies on or beyond the cut moved out to the edge of the bleed.
fn through_bleed(frame: Rect, size: &TrimSize) -> Rect {
    let start = |at: i64| if at <= 0 { -size.bleed } else { at };
    let end = |at: i64, side: i64| if at >= side { side + size.bleed } else { at };
    let (x, y) = (start(frame.x), start(frame.y));
    let right = end(frame.x + frame.width, size.width);
    let bottom = end(frame.y + frame.height, size.height);
    Rect::new(x, y, right - x, bottom - y)
}

/// The content stream that draws these pictures, the first one lowest. A page without pictures is
/// painted white, so that no reader takes it for one whose content is lost.
pub(super) fn content(size: TrimSize, drawings: &[Drawing]) -> Vec<u8> {
    let mut content = Content::new();
    if drawings.is_empty() {
        let (width, height) = (size.width + 2 * size.bleed, size.height + 2 * size.bleed);
        content.set_fill_gray(1.0);
        content.rect(0.0, 0.0, points(width) as f32, points(height) as f32);
        content.fill_nonzero();
    }
    for drawing in drawings {
        content.save_state();
        if let Some([x, y, width, height]) = drawing.clip {
            content.rect(x as f32, y as f32, width as f32, height as f32);
            content.clip_nonzero().end_path();
        }
        content.transform(drawing.matrix.map(|number| number as f32));
        content.x_object(Name(drawing.name().as_bytes()));
        content.restore_state();
    }
    content.finish().into_vec()
}

/// The page object. The media and crop boxes end where the bleed does; nothing is printed outside.
pub(super) fn object(book: &Book, id: Ref, tree: Ref, content: Ref, drawings: &[Drawing]) -> Chunk {
    let TrimSize { width, height, bleed } = book.size;
    let whole = pdf_rect(0, 0, width + 2 * bleed, height + 2 * bleed);
    let mut chunk = Chunk::new();
    let mut page = chunk.page(id);
    page.parent(tree)
        .media_box(whole)
        .crop_box(whole)
        .bleed_box(whole)
        .trim_box(pdf_rect(bleed, bleed, width + bleed, height + bleed))
        .contents(content);
    let mut resources = page.resources();
    let mut pictures = resources.x_objects();
    let mut named: Vec<Ref> = Vec::with_capacity(drawings.len());
    for drawing in drawings {
        if !named.contains(&drawing.object) {
            pictures.pair(Name(drawing.name().as_bytes()), drawing.object);
            named.push(drawing.object);
        }
    }
    pictures.finish();
    resources.finish();
    page.finish();
    chunk
}

fn pdf_rect(left: i64, bottom: i64, right: i64, top: i64) -> pdf_writer::Rect {
    let [left, bottom, right, top] = [left, bottom, right, top].map(|edge| points(edge) as f32);
    pdf_writer::Rect::new(left, bottom, right, top)
}
