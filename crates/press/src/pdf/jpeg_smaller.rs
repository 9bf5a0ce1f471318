//! Makes a JPEG smaller that would be printed finer than anyone can see.

use std::io::Cursor;

use jpeg_decoder::{Decoder, PixelFormat};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::inspect::jpeg::JpegStructure;
use crate::inspect::{Colour, Limits};

const QUALITY: u8 = 92;

/// A smaller picture, without metadata.
pub(super) struct SmallerJpeg {
    pub(super) bytes: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The picture at a half, a quarter or an eighth of its size, whichever is the smallest of at least `part` of it (0 to
/// 1). `None` when the picture itself is that one, holds inks, takes too much memory, or cannot be made smaller: then it
/// goes into the PDF as it is.
pub(super) fn smaller(
    bytes: &[u8],
    structure: &JpegStructure,
    part: f64,
    limits: &Limits,
) -> Option<SmallerJpeg> {
    let divisor = [8u32, 4, 2].into_iter().find(|divisor| part * f64::from(*divisor) <= 1.0)?;
    let (width, height) = (structure.width.div_ceil(divisor), structure.height.div_ceil(divisor));
    let channels = structure.components.len() as u64;
    let coefficients = if structure.progressive { structure.blocks() * 64 * 2 } else { 0 };
    let estimated = u64::from(width) * u64::from(height) * channels * 2 + coefficients;
    if structure.colour() == Colour::Cmyk || estimated > limits.max_decode_bytes {
        return None;
    }
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.scale(u16::try_from(width).ok()?, u16::try_from(height).ok()?).ok()?;
    let pixels = decoder.decode().ok()?;
    let info = decoder.info()?;
    let colour = match info.pixel_format {
        PixelFormat::L8 => ColorType::Luma,
        PixelFormat::RGB24 => ColorType::Rgb,
        _ => return None,
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.encode(&pixels, info.width, info.height, colour).ok()?;
    let smaller = u32::from(info.width) < structure.width && out.len() < bytes.len();
    smaller.then_some(SmallerJpeg {
        bytes: out,
        width: info.width.into(),
        height: info.height.into(),
    })
}
