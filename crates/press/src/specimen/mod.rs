//! Makes photographs to try Printmill with: landscapes at print resolution, each seed another one, always the same.

mod canvas;
mod encode;
mod noise;
mod scene;
mod scenes;

use chrono::{Duration, NaiveDate, NaiveDateTime};

use crate::geometry::Orientation;

/// A photograph as a camera would have left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specimen {
    /// The JPEG file, with EXIF and an sRGB profile.
    pub jpeg: Vec<u8>,
    /// Width in pixels, as seen upright.
    pub seen_width: u32,
    /// Height in pixels, as seen upright.
    pub seen_height: u32,
    /// How the stored pixels lie, as its EXIF says.
    pub orientation: Orientation,
    /// When it says it was taken.
    pub captured_at: NaiveDateTime,
}

/// The photograph with this seed: 3000 by 2000 pixels, held upright or sideways as the seed says.
pub fn photograph(seed: u64) -> Result<Specimen, jpeg_encoder::EncodingError> {
    photograph_sized(seed, 3000, 2000)
}

/// The same with another sensor, of `long` by `short` pixels (at most 16,000 each).
pub fn photograph_sized(
    seed: u64,
    long: u16,
    short: u16,
) -> Result<Specimen, jpeg_encoder::EncodingError> {
    let (long, short) = (long.clamp(16, 16_000), short.clamp(16, 16_000));
    // Most people hold the camera level most of the time.
    let orientation = Orientation::from_exif([1, 1, 6, 1, 3, 1, 8, 1][(seed % 8) as usize]);
    let orientation = orientation.unwrap_or_default();
    let (seen_width, seen_height) = orientation.seen(long.into(), short.into());
    let captured_at = captured_at(seed);
    let seen = scene::paint(seed, seen_width as usize, seen_height as usize);
    let stored = encode::as_stored(seen, seen_width as usize, seen_height as usize, orientation);
    let jpeg = encode::jpeg(&stored, long, short, orientation, captured_at)?;
    Ok(Specimen { jpeg, seen_width, seen_height, orientation, captured_at })
}

/// Kinds of PNG to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PngKind {
    /// One channel.
    Gray,
    /// Three channels.
    Rgb,
    /// Three channels, and alpha that fades the picture out towards the bottom.
    Rgba,
}

/// The landscape with this seed as an 8-bit PNG of `width` by `height` pixels.
pub fn png(
    seed: u64,
    width: u16,
    height: u16,
    kind: PngKind,
) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = (width.max(16), height.max(16));
    let pixels = scene::paint(seed, width.into(), height.into());
    encode::png(&pixels, width, height, kind)
}

fn captured_at(seed: u64) -> NaiveDateTime {
    let start = NaiveDate::from_ymd_opt(2025, 6, 1).unwrap_or_default();
    let minutes = i64::try_from(seed % 100_000).unwrap_or(0) * 437;
    start.and_time(chrono::NaiveTime::MIN) + Duration::minutes(9 * 60 + minutes)
}
