//! Tells what an uploaded file really is, by its content: which picture, how large, and whether it is whole.

mod bytes;
mod decode;
mod entropy;
mod error;
mod exif;
mod icc;
pub(crate) mod jpeg;
mod jpeg_scan;
mod opening;
pub(crate) mod png;

use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::NaiveDateTime;

pub use error::InspectError;
#[cfg(test)]
pub(crate) use icc::describes;
pub use opening::needs_whole_pixels;

use crate::geometry::Orientation;

/// What a picture may cost at most. A file beyond any of these is refused, from its header alone where possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels (width times height).
    pub max_pixels: u64,
    /// Most bytes in the file.
    pub max_bytes: u64,
    /// A progressive JPEG is decoded, to prove that it can be, when this takes at most so many bytes of memory. Other
    /// pictures are decoded piece by piece, whatever their size.
    pub max_decode_bytes: u64,
    /// Most bytes in an embedded colour profile; a larger one is ignored.
    pub max_icc_bytes: usize,
    /// Most scans in a progressive JPEG; each is a pass over the whole picture.
    pub max_scans: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 200_000_000,
            max_bytes: 512 * 1024 * 1024,
            max_decode_bytes: 96 * 1024 * 1024,
            max_icc_bytes: 4 * 1024 * 1024,
            max_scans: 50,
        }
    }
}

/// Formats that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
}

impl Format {
    /// The IANA media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// The kind of colour that the stored pixels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// One channel of light.
    Gray,
    /// Red, green and blue, also when stored as luminance and chrominance or through a palette.
    Rgb,
    /// Four inks.
    Cmyk,
}

/// What [`inspect`] found out about a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The format, by content.
    pub format: Format,
    /// Width in pixels, as stored.
    pub width: u32,
    /// Height in pixels, as stored.
    pub height: u32,
    /// How to turn the stored pixels to see them upright.
    pub orientation: Orientation,
    /// Gray, RGB or CMYK.
    pub colour: Colour,
    /// Bits per channel (per palette index in a PNG with a palette).
    pub bits: u8,
    /// Whether pixels may be transparent.
    pub alpha: bool,
    /// Whether a usable ICC profile is embedded.
    pub has_icc: bool,
    /// Whether the JPEG is progressive or the PNG interlaced.
    pub progressive: bool,
    /// When the picture was taken, in the camera's local time.
    pub captured_at: Option<NaiveDateTime>,
    /// Whether the compressed pixels can go into a PDF as they are.
    pub passes_through: bool,
    /// Whether every block of pixels was decoded; false for a progressive JPEG too large for
    /// [`Limits::max_decode_bytes`], of which only the structure was checked.
    pub decoded: bool,
    /// Length of the picture in bytes; what a camera appended behind it is not counted.
    pub picture_bytes: u64,
}

impl Inspection {
    /// The IANA media type.
    pub fn media_type(&self) -> &'static str {
        self.format.media_type()
    }

    /// Width and height in pixels as seen upright.
    pub fn seen(&self) -> (u32, u32) {
        self.orientation.seen(self.width, self.height)
    }
}

/// Looks into a file: by its content, never by its name, and never trusting it.
///
/// The file is read from its start to its end once, and a second time when its pixels are decoded. Memory is bounded by
/// `limits` whatever the file says. Errors name what is wrong with the picture; [`InspectError::Unreadable`] alone is
/// about the reader.
pub fn inspect(
    source: &mut (impl Read + Seek),
    limits: &Limits,
) -> Result<Inspection, InspectError> {
    // Decoders are other people's code fed with strangers' bytes; none may take a worker down.
    catch_unwind(AssertUnwindSafe(|| look_into(source, limits)))
        .unwrap_or_else(|_| Err(InspectError::damaged("picture", "its decoder gave up")))
}

fn look_into(source: &mut (impl Read + Seek), limits: &Limits) -> Result<Inspection, InspectError> {
    let unreadable = |source| InspectError::Unreadable { source };
    let bytes = source.seek(SeekFrom::End(0)).map_err(unreadable)?;
    if bytes > limits.max_bytes {
        return Err(InspectError::TooManyBytes { bytes, max_bytes: limits.max_bytes });
    }
    source.rewind().map_err(unreadable)?;
    let format = sniff(source).map_err(unreadable)?.ok_or(InspectError::NotAnImage)?;
    source.rewind().map_err(unreadable)?;
    match format {
        Format::Jpeg => {
            let structure = jpeg::walk(source, limits)?;
            let decoded = decode::decode_jpeg(source, &structure, limits)?;
            Ok(structure.inspection(decoded))
        }
        Format::Png => Ok(png::walk(source, limits)?.inspection()),
    }
}

/// The format that the first bytes announce.
pub(crate) fn sniff(source: &mut impl Read) -> std::io::Result<Option<Format>> {
    let mut start = Vec::with_capacity(8);
    source.take(8).read_to_end(&mut start)?;
    Ok(if start.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Some(Format::Jpeg)
    } else if start == png::SIGNATURE {
        Some(Format::Png)
    } else {
        None
    })
}

pub(crate) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), InspectError> {
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(InspectError::TooManyPixels { width, height, max_pixels: limits.max_pixels });
    }
    Ok(())
}
