//! Puts pictures on the pages of a book in the simplest way that pleases: whole pages where there are enough of them.

use chrono::NaiveDateTime;

use crate::geometry::Rect;
use crate::photobook::{Fit, Page, Placement, TrimSize};

/// A picture to lay out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The key under which the sources know it.
    pub key: String,
    /// Width in pixels, as seen upright.
    pub width: u32,
    /// Height in pixels, as seen upright.
    pub height: u32,
    /// When it was taken, if known.
    pub captured_at: Option<NaiveDateTime>,
}

/// White between pictures that share a page, in micrometres.
const GAP: i64 = 4_000;

/// Most pictures on a page, in a grid of this many columns and rows.
const MAX_GRID: usize = 8;

/// Lays out `pictures` on exactly `pages` pages of this size: in order of capture, those without a time last, in the
/// order given. One fills each page; two, three, four and so on share pages when there are more pictures than pages; and they
/// start again from the first when there are fewer. Pictures beyond 64 per page are left out.
///
/// Pure: the same arguments give the same pages. No pictures, or no pages, give no pages.
pub fn autolayout(pictures: &[Picture], pages: usize, size: TrimSize) -> Vec<Page> {
    if pictures.is_empty() || pages == 0 {
        return Vec::new();
    }
    let mut ordered: Vec<&Picture> = pictures.iter().collect();
    ordered.sort_by_key(|picture| (picture.captured_at.is_none(), picture.captured_at));
    if ordered.len() <= pages {
        let repeated = ordered.iter().cycle().take(pages);
        return repeated.map(|picture| page(std::slice::from_ref(picture), size)).collect();
    }
    // Spread evenly: page sizes differ by one picture at most.
    let total = ordered.len();
    (0..pages)
        .map(|index| {
            let (start, end) = (index * total / pages, (index + 1) * total / pages);
            page(&ordered[start..end], size)
        })
        .collect()
}

fn page(pictures: &[&Picture], size: TrimSize) -> Page {
    let frames = frames(pictures, size);
    let placements = pictures
        .iter()
        .zip(frames)
        .map(|(picture, frame)| Placement { picture: picture.key.clone(), frame, fit: Fit::Cover })
        .collect();
    Page { placements }
}

/// One frame per picture, side by side or one above the other, whichever cuts less off.
fn frames(pictures: &[&Picture], size: TrimSize) -> Vec<Rect> {
    let count = pictures.len().min(MAX_GRID * MAX_GRID);
    let columns_least = count.div_ceil(MAX_GRID);
    let candidates =
        (columns_least..=count.min(MAX_GRID)).map(|columns| grid(count, columns, size));
    let cost = |frames: &Vec<Rect>| -> f64 {
        frames.iter().zip(pictures).map(|(frame, picture)| cut_off(frame, picture)).sum()
    };
    candidates.min_by(|one, other| cost(one).total_cmp(&cost(other))).unwrap_or_default()
}

/// Frames in rows of `columns`; the last row is filled by fewer, wider ones.
fn grid(count: usize, columns: usize, size: TrimSize) -> Vec<Rect> {
    let rows = count.div_ceil(columns);
    let heights = shares(size.height, rows);
    let mut frames = Vec::with_capacity(count);
    for (row, (y, height)) in heights.into_iter().enumerate() {
        let in_row = columns.min(count - row * columns);
        frames.extend(
            shares(size.width, in_row).into_iter().map(|(x, width)| Rect::new(x, y, width, height)),
        );
    }
    frames
}

/// A length cut into equal parts with gaps between them, as (start, length); the last ends exactly at the end.
fn shares(length: i64, count: usize) -> Vec<(i64, i64)> {
    let count = count as i64;
    let gap = if length > 2 * GAP * count { GAP } else { 0 };
    let start = |index: i64| index * (length + gap) / count;
    (0..count).map(|index| (start(index), start(index + 1) - gap - start(index))).collect()
}

/// How much of the picture is lost when it covers the frame, 0 to 1.
fn cut_off(frame: &Rect, picture: &Picture) -> f64 {
    let wanted = frame.width as f64 / frame.height as f64;
    let given = f64::from(picture.width.max(1)) / f64::from(picture.height.max(1));
    1.0 - (wanted / given).min(given / wanted)
}
