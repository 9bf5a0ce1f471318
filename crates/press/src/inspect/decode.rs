//! Decodes a progressive JPEG for no other reason than to see whether that works, when there is memory enough for it.

use std::io::{BufReader, Read, Seek};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::jpeg::JpegStructure;
use super::{InspectError, Limits};

/// Decodes the pixels and drops them, unless the walk has already read every block. Answers whether all blocks were read:
/// not when this would take more memory than allowed.
pub(crate) fn decode_jpeg(
    source: &mut (impl Read + Seek),
    structure: &JpegStructure,
    limits: &Limits,
) -> Result<bool, InspectError> {
    if !structure.progressive {
        return Ok(true);
    }
    if estimated_bytes(structure) > limits.max_decode_bytes {
        return Ok(false);
    }
    source.rewind().map_err(|source| InspectError::Unreadable { source })?;
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(limits.max_scans as usize)
        // Strictness finds missing pixels, but also stumbles over bytes between segments, which harm nobody.
        .set_strict_mode(!structure.stray_bytes)
        .jpeg_set_out_colorspace(output(structure));
    JpegDecoder::new_with_options(BufReader::with_capacity(64 * 1024, source), options)
        .decode()
        .map_err(|_| InspectError::damaged("JPEG", "its pixels cannot be decoded"))?;
    Ok(true)
}

/// Luminance alone takes a third of the memory, and the other channels are read all the same.
fn output(structure: &JpegStructure) -> ColorSpace {
    let has_luminance = structure.components.len() == 1
        || (structure.components.len() == 3
            && structure.adobe_transform != Some(0)
            && !structure.is_rgb_by_name_only());
    if has_luminance { ColorSpace::Luma } else { ColorSpace::RGB }
}

fn estimated_bytes(structure: &JpegStructure) -> u64 {
    let channels = if output(structure) == ColorSpace::Luma { 1 } else { 3 };
    let pixels = u64::from(structure.width) * u64::from(structure.height);
    // Two bytes for each coefficient.
    pixels * channels + structure.blocks() * 64 * 2
}
