//! Stores a painted picture as a camera would: turned, with EXIF and a colour profile.

use std::io::Cursor;

use chrono::NaiveDateTime;
use exif::experimental::Writer;
use exif::{Field, In, Tag, Value};
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use super::PngKind;
use crate::geometry::Orientation;
use crate::pdf::profile::srgb;

const TILE: usize = 32;

/// Turns pixels as seen into pixels as stored, for the orientations that cameras write (1, 3, 6 and 8).
pub(super) fn as_stored(
    seen: Vec<u8>,
    seen_width: usize,
    seen_height: usize,
    orientation: Orientation,
) -> Vec<u8> {
    match orientation.exif() {
        3 => seen.chunks_exact(3).rev().flatten().copied().collect(),
        6 => turned(&seen, seen_width, seen_height, |column, row| (seen_width - 1 - row, column)),
        8 => turned(&seen, seen_width, seen_height, |column, row| (row, seen_height - 1 - column)),
        _ => seen,
    }
}

/// The picture with its sides exchanged; `place` tells where a stored pixel is seen. Goes tile by tile, for the cache.
fn turned(
    seen: &[u8],
    seen_width: usize,
    seen_height: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
) -> Vec<u8> {
    let (width, height) = (seen_height, seen_width);
    let mut stored = vec![0; seen.len()];
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for row in top..(top + TILE).min(height) {
                for column in left..(left + TILE).min(width) {
                    let (x, y) = place(column, row);
                    let (to, from) = ((row * width + column) * 3, (y * seen_width + x) * 3);
                    stored[to..to + 3].copy_from_slice(&seen[from..from + 3]);
                }
            }
        }
    }
    stored
}

pub(super) fn jpeg(
    pixels: &[u8],
    width: u16,
    height: u16,
    orientation: Orientation,
    captured_at: NaiveDateTime,
) -> Result<Vec<u8>, EncodingError> {
    let mut out = Vec::with_capacity(pixels.len() / 5);
    let mut encoder = Encoder::new(&mut out, 90);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.add_exif_metadata(&exif_block(orientation, captured_at).map_err(as_io)?)?;
    encoder.add_icc_profile(&srgb()?)?;
    encoder.encode(pixels, width, height, ColorType::Rgb)?;
    Ok(out)
}

fn as_io(error: exif::Error) -> EncodingError {
    EncodingError::IoError(std::io::Error::other(error))
}

fn exif_block(
    orientation: Orientation,
    captured_at: NaiveDateTime,
) -> Result<Vec<u8>, exif::Error> {
    let text = |text: String| Value::Ascii(vec![text.into_bytes()]);
    let time = captured_at.format("%Y:%m:%d %H:%M:%S").to_string();
    let fields = [
        (Tag::Make, text("Printmill".to_owned())),
        (Tag::Model, text("Specimen".to_owned())),
        (Tag::Orientation, Value::Short(vec![orientation.exif().into()])),
        (Tag::DateTime, text(time.clone())),
        (Tag::DateTimeOriginal, text(time)),
    ]
    .map(|(tag, value)| Field { tag, ifd_num: In::PRIMARY, value });
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, false)?;
    Ok(block.into_inner())
}

pub(super) fn png(
    pixels: &[u8],
    width: u16,
    height: u16,
    kind: PngKind,
) -> Result<Vec<u8>, png::EncodingError> {
    let colour = match kind {
        PngKind::Gray => png::ColorType::Grayscale,
        PngKind::Rgb => png::ColorType::Rgb,
        PngKind::Rgba => png::ColorType::Rgba,
    };
    let stride = usize::from(width) * 3;
    let data: Vec<u8> = match kind {
        PngKind::Gray => pixels.chunks_exact(3).map(|pixel| pixel[1]).collect(),
        PngKind::Rgb => pixels.to_vec(),
        PngKind::Rgba => pixels
            .chunks_exact(stride)
            .enumerate()
            .flat_map(|(y, row)| {
                let alpha = 255 - (y * 255 / usize::from(height)) as u8;
                row.chunks_exact(3).flat_map(move |pixel| [pixel[0], pixel[1], pixel[2], alpha])
            })
            .collect(),
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width.into(), height.into());
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(out)
}
