//! Puts one picture into a PDF as an image object, its compressed bytes untouched where PDF understands them.

use std::io::{self, Cursor, Write};

use pdf_writer::{Dict, Name, Ref};

use super::file::PdfFile;
use super::jpeg_smaller::{SmallerJpeg, smaller};
use super::png_rows;
use super::profile::Profiles;
use crate::geometry::Orientation;
use crate::inspect::jpeg::JpegStructure;
use crate::inspect::png::PngStructure;
use crate::inspect::{self, Colour, Format, InspectError, Limits, jpeg, png};

/// A picture that is in the file.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedPicture {
    pub(crate) object: Ref,
    pub(crate) orientation: Orientation,
    /// Width and height in pixels, as seen upright.
    pub(crate) seen: (u32, u32),
    pub(crate) passed_through: bool,
}

/// Why a picture did not get into the file.
#[derive(Debug)]
pub(crate) enum EmbedError {
    Picture(InspectError),
    Write(io::Error),
}

impl From<io::Error> for EmbedError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<InspectError> for EmbedError {
    fn from(error: InspectError) -> Self {
        Self::Picture(error)
    }
}

/// Writes the picture in `bytes` as an image object, with its profile. `part_needed` tells, from the size of the picture as
/// seen, which part of its resolution is of use (1 or more for all of it).
pub(crate) fn embed<W: Write>(
    file: &mut PdfFile<W>,
    profiles: &mut Profiles,
    bytes: &[u8],
    limits: &Limits,
    part_needed: impl FnOnce((u32, u32)) -> f64,
) -> Result<EmbeddedPicture, EmbedError> {
    match inspect::sniff(&mut &bytes[..])? {
        Some(Format::Jpeg) => {
            let structure = jpeg::walk(&mut Cursor::new(bytes), limits)?;
            let seen = structure.exif.orientation.seen(structure.width, structure.height);
            let part = part_needed(seen);
            embed_jpeg(file, profiles, bytes, &structure, smaller(bytes, &structure, part, limits))
        }
        Some(Format::Png) => {
            let structure = png::walk(&mut Cursor::new(bytes), limits)?;
            embed_png(file, profiles, bytes, &structure, limits)
        }
        None => Err(InspectError::NotAnImage.into()),
    }
}

fn embed_jpeg<W: Write>(
    file: &mut PdfFile<W>,
    profiles: &mut Profiles,
    bytes: &[u8],
    structure: &JpegStructure,
    smaller: Option<SmallerJpeg>,
) -> Result<EmbeddedPicture, EmbedError> {
    let colour = structure.colour();
    let profile = profiles.object(file, structure.icc.as_deref(), colour)?;
    let object = file.reserve();
    let whole = bytes.get(..structure.length as usize).unwrap_or(bytes);
    let (picture, width, height) = match &smaller {
        Some(made) => (made.bytes.as_slice(), made.width, made.height),
        None => (whole, structure.width, structure.height),
    };
    file.stream(object, &[picture], |entries| {
        image_entries(entries, width, height, 8);
        colour_space(entries, profile, colour);
        entries.pair(Name(b"Filter"), Name(b"DCTDecode"));
        if structure.is_rgb_by_name_only() && smaller.is_none() {
            entries.insert(Name(b"DecodeParms")).dict().pair(Name(b"ColorTransform"), 0);
        }
        if colour == Colour::Cmyk && structure.adobe_transform.is_some() {
            entries.insert(Name(b"Decode")).array().items([1, 0, 1, 0, 1, 0, 1, 0]);
        }
    })?;
    let orientation = structure.exif.orientation;
    let seen = orientation.seen(width, height);
    Ok(EmbeddedPicture { object, orientation, seen, passed_through: smaller.is_none() })
}

fn embed_png<W: Write>(
    file: &mut PdfFile<W>,
    profiles: &mut Profiles,
    bytes: &[u8],
    structure: &PngStructure,
    limits: &Limits,
) -> Result<EmbeddedPicture, EmbedError> {
    let colour = structure.colour();
    let profile = profiles.object(file, structure.icc.as_deref(), colour)?;
    let object = file.reserve();
    if structure.passes_through() {
        let runs: Vec<&[u8]> = structure
            .pixel_runs
            .iter()
            .filter_map(|(start, length)| {
                bytes.get(*start as usize..*start as usize + *length as usize)
            })
            .collect();
        file.stream(object, &runs, |entries| {
            image_entries(entries, structure.width, structure.height, structure.bits);
            if structure.colour_type == 3 {
                palette_space(entries, profile, &structure.palette);
            } else {
                colour_space(entries, profile, colour);
            }
            entries.pair(Name(b"Filter"), Name(b"FlateDecode"));
            let mut parameters = entries.insert(Name(b"DecodeParms")).dict();
            parameters.pair(Name(b"Predictor"), 15);
            parameters.pair(Name(b"Colors"), i32::from(structure.channels()));
            parameters.pair(Name(b"BitsPerComponent"), i32::from(structure.bits));
            parameters.pair(Name(b"Columns"), structure.width as i32);
        })?;
    } else {
        let mask = structure.has_alpha().then(|| file.reserve());
        file.stream_unsized(
            object,
            |entries| {
                image_entries(entries, structure.width, structure.height, 8);
                colour_space(entries, profile, colour);
                entries.pair(Name(b"Filter"), Name(b"FlateDecode"));
                if let Some(mask) = mask {
                    entries.pair(Name(b"SMask"), mask);
                }
            },
            |out| png_rows::deflate(bytes, structure, limits, png_rows::Part::Colour, out),
        )?;
        if let Some(mask) = mask {
            file.stream_unsized(
                mask,
                |entries| {
                    image_entries(entries, structure.width, structure.height, 8);
                    entries.pair(Name(b"ColorSpace"), Name(b"DeviceGray"));
                    entries.pair(Name(b"Filter"), Name(b"FlateDecode"));
                },
                |out| png_rows::deflate(bytes, structure, limits, png_rows::Part::Alpha, out),
            )?;
        }
    }
    let orientation = structure.exif.orientation;
    Ok(EmbeddedPicture {
        object,
        orientation,
        seen: orientation.seen(structure.width, structure.height),
        passed_through: structure.passes_through(),
    })
}

fn image_entries(entries: &mut Dict<'_>, width: u32, height: u32, bits: u8) {
    entries.pair(Name(b"Type"), Name(b"XObject"));
    entries.pair(Name(b"Subtype"), Name(b"Image"));
    entries.pair(Name(b"Width"), width as i32);
    entries.pair(Name(b"Height"), height as i32);
    entries.pair(Name(b"BitsPerComponent"), i32::from(bits));
}

fn colour_space(entries: &mut Dict<'_>, profile: Option<Ref>, colour: Colour) {
    let space = entries.insert(Name(b"ColorSpace"));
    match (profile, colour) {
        (Some(profile), _) => {
            space.array().item(Name(b"ICCBased")).item(profile);
        }
        (None, Colour::Gray) => space.primitive(Name(b"DeviceGray")),
        (None, Colour::Rgb) => space.primitive(Name(b"DeviceRGB")),
        (None, Colour::Cmyk) => space.primitive(Name(b"DeviceCMYK")),
    }
}

fn palette_space(entries: &mut Dict<'_>, profile: Option<Ref>, palette: &[u8]) {
    let mut space = entries.insert(Name(b"ColorSpace")).array();
    space.item(Name(b"Indexed"));
    match profile {
        Some(profile) => {
            space.push().array().item(Name(b"ICCBased")).item(profile);
        }
        None => {
            space.item(Name(b"DeviceRGB"));
        }
    }
    space.item(palette.len() as i32 / 3 - 1).item(pdf_writer::Str(palette));
}
