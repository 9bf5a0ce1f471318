//! Decodes a PNG row by row and deflates one part of it anew: its colour, or its transparency.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use png::{DecodingError, Transformations};

use super::image::EmbedError;
use crate::inspect::png::PngStructure;
use crate::inspect::{Colour, InspectError, Limits};

/// Which channels to take from each pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Gray, or red, green and blue.
    Colour,
    /// The alpha channel.
    Alpha,
}

/// Writes one part of the picture, 8 bits per channel, as a zlib stream. Holds one row of it, or all of it when
/// interlaced, which is refused beyond the memory allowed for decoding.
pub(crate) fn deflate(
    bytes: &[u8],
    structure: &PngStructure,
    limits: &Limits,
    part: Part,
    out: &mut dyn Write,
) -> Result<(), EmbedError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let channels = reader.output_color_type().0.samples();
    let colours = if structure.colour() == Colour::Gray { 1 } else { 3 };
    let take = match part {
        Part::Colour => 0..colours,
        Part::Alpha => colours..channels,
    };
    let mut encoder = ZlibEncoder::new(out, Compression::default());
    let mut row_part = Vec::new();
    let mut put = |row: &[u8]| {
        row_part.clear();
        for pixel in row.chunks_exact(channels) {
            row_part.extend_from_slice(&pixel[take.clone()]);
        }
        encoder.write_all(&row_part)
    };
    if structure.interlaced {
        let size =
            reader.output_buffer_size().filter(|size| *size as u64 <= limits.max_decode_bytes);
        let size = size.ok_or_else(|| InspectError::unsupported("large interlaced PNG"))?;
        let mut pixels = vec![0; size];
        reader.next_frame(&mut pixels).map_err(damaged)?;
        for row in pixels.chunks_exact(structure.width as usize * channels) {
            put(row)?;
        }
    } else {
        while let Some(row) = reader.next_row().map_err(damaged)? {
            put(row.data())?;
        }
    }
    encoder.finish()?;
    Ok(())
}

fn damaged(error: DecodingError) -> InspectError {
    InspectError::damaged("PNG", error.to_string().to_lowercase())
}
