//! Walks a JPEG from marker to marker, to its very end, without holding a pixel.

use std::io::Read;

use super::bytes::CountedBytes;
use super::exif::{self, ExifFacts};
use super::jpeg_scan::Tables;
use super::{Colour, Format, InspectError, Inspection, Limits, check_pixels, icc};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;

/// What the markers of a JPEG say.
#[derive(Debug, Default)]
pub(crate) struct JpegStructure {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) components: Vec<Component>,
    pub(crate) progressive: bool,
    /// The transform byte of Adobe's APP14 segment: its presence also means that four inks are stored inverted.
    pub(crate) adobe_transform: Option<u8>,
    pub(crate) jfif: bool,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) exif: ExifFacts,
    pub(crate) scans: u32,
    /// Whether there are bytes between the segments that belong to none.
    pub(crate) stray_bytes: bool,
    /// Bytes of entropy-coded data in a progressive file.
    pub(crate) entropy_bytes: u64,
    /// Bytes from the start to the end-of-image marker, both included.
    pub(crate) length: u64,
}

/// One channel of a JPEG, with its sampling factors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) horizontal: u8,
    pub(crate) vertical: u8,
    /// Number of its quantization table.
    pub(crate) quantization: u8,
}

impl JpegStructure {
    pub(crate) fn colour(&self) -> Colour {
        match self.components.len() {
            1 => Colour::Gray,
            4 => Colour::Cmyk,
            _ => Colour::Rgb,
        }
    }

    /// Whether the three channels are red, green and blue themselves, and nothing in the file tells a decoder so but
    /// the names of the channels.
    pub(crate) fn is_rgb_by_name_only(&self) -> bool {
        let names: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        names == b"RGB" && !self.jfif && self.adobe_transform.is_none()
    }

    /// The largest sampling factors, across and down.
    pub(crate) fn sampling(&self) -> (u64, u64) {
        let most = |side: fn(&Component) -> u8| {
            u64::from(self.components.iter().map(side).max().unwrap_or(1).max(1))
        };
        (most(|component| component.horizontal), most(|component| component.vertical))
    }

    /// Units of a scan that interleaves all components.
    pub(crate) fn units(&self) -> u64 {
        let (across, down) = self.sampling();
        u64::from(self.width).div_ceil(8 * across) * u64::from(self.height).div_ceil(8 * down)
    }

    /// Blocks of one component in a scan of its own, which holds no padding beyond the last block.
    pub(crate) fn blocks_alone(&self, component: &Component) -> u64 {
        let (across, down) = self.sampling();
        let columns = (u64::from(self.width) * u64::from(component.horizontal)).div_ceil(across);
        let rows = (u64::from(self.height) * u64::from(component.vertical)).div_ceil(down);
        columns.div_ceil(8) * rows.div_ceil(8)
    }

    /// How many blocks of 8 by 8 samples the picture has, padding included.
    pub(crate) fn blocks(&self) -> u64 {
        let per_unit: u64 = self
            .components
            .iter()
            .map(|component| u64::from(component.horizontal) * u64::from(component.vertical))
            .sum();
        self.units() * per_unit
    }

    pub(crate) fn inspection(&self, decoded: bool) -> Inspection {
        Inspection {
            format: Format::Jpeg,
            width: self.width,
            height: self.height,
            orientation: self.exif.orientation,
            colour: self.colour(),
            bits: 8,
            alpha: false,
            has_icc: self.icc.is_some(),
            progressive: self.progressive,
            captured_at: self.exif.captured_at,
            passes_through: true,
            decoded,
            picture_bytes: self.length,
        }
    }
}

/// Walks from the start-of-image to the end-of-image marker. The reader must stand at the start.
pub(crate) fn walk(source: &mut impl Read, limits: &Limits) -> Result<JpegStructure, InspectError> {
    let mut walk = Walk {
        bytes: CountedBytes::new(source, "JPEG"),
        limits,
        found: JpegStructure::default(),
        tables: Tables::default(),
        icc_parts: Vec::new(),
        exif: None,
    };
    if walk.bytes.array::<2>()? != [0xFF, SOI] {
        return Err(InspectError::NotAnImage);
    }
    let mut marker = walk.marker()?;
    while marker != EOI {
        marker = walk.segment(marker)?;
    }
    walk.finish()
}

pub(super) struct Walk<'a, R> {
    pub(super) bytes: CountedBytes<R>,
    pub(super) limits: &'a Limits,
    pub(super) found: JpegStructure,
    pub(super) tables: Tables,
    icc_parts: Vec<(u8, u8, Vec<u8>)>,
    exif: Option<Vec<u8>>,
}

impl<R: Read> Walk<'_, R> {
    /// Finds the next marker, over fill bytes and over bytes that belong to nothing.
    fn marker(&mut self) -> Result<u8, InspectError> {
        loop {
            if self.bytes.byte()? != 0xFF {
                self.found.stray_bytes = true;
                continue;
            }
            let mut code = self.bytes.byte()?;
            while code == 0xFF {
                code = self.bytes.byte()?;
            }
            if code != 0 {
                return Ok(code);
            }
            self.found.stray_bytes = true;
        }
    }

    /// Reads the segment that `marker` opens, and answers the marker behind it.
    fn segment(&mut self, marker: u8) -> Result<u8, InspectError> {
        match marker {
            SOI => return Err(damaged("a second picture starts inside the first")),
            0x01 | 0xD0..=0xD7 => return Err(damaged("it has a restart marker between segments")),
            SOS => return self.scan(),
            _ => {}
        }
        let length = usize::from(self.bytes.u16()?);
        let Some(length) = length.checked_sub(2) else {
            return Err(damaged("a segment has an impossible length"));
        };
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => self.frame(marker, length)?,
            0xCC => return Err(InspectError::unsupported("JPEG with arithmetic coding")),
            0xDC => return Err(InspectError::unsupported("JPEG without a height in its header")),
            APP0 | APP1 | APP2 | APP14 => self.application(marker, length)?,
            0xC4 => self.huffman_tables(length)?,
            0xDB => self.quantization_tables(length)?,
            0xDD if length == 2 => self.tables.restart_interval = self.bytes.u16()?.into(),
            // Application data and comments. What T.81 reserves, decoders refuse, and so do we.
            0xE0..=0xEF | 0xFE => self.bytes.skip(length)?,
            _ => return Err(damaged("it has a marker that no picture has")),
        }
        self.marker()
    }

    fn frame(&mut self, marker: u8, length: usize) -> Result<(), InspectError> {
        match marker {
            0xC0..=0xC2 => {}
            0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(InspectError::unsupported("JPEG with arithmetic coding"));
            }
            _ => return Err(InspectError::unsupported("lossless or hierarchical JPEG")),
        }
        let header = self.bytes.vec(length)?;
        let [bits, h1, h0, w1, w0, count, parts @ ..] = header.as_slice() else {
            return Err(damaged("its header is too short"));
        };
        if !self.found.components.is_empty() {
            return Err(damaged("it has two headers"));
        }
        if *bits != 8 {
            return Err(InspectError::unsupported(format!("JPEG with {bits} bits per channel")));
        }
        self.found.height = u32::from(u16::from_be_bytes([*h1, *h0]));
        self.found.width = u32::from(u16::from_be_bytes([*w1, *w0]));
        self.found.progressive = marker == 0xC2;
        if self.found.width == 0 || self.found.height == 0 {
            return Err(InspectError::unsupported("JPEG without a size in its header"));
        }
        check_pixels(self.found.width, self.found.height, self.limits)?;
        if !matches!(count, 1 | 3 | 4) {
            return Err(InspectError::unsupported(format!("JPEG with {count} channels")));
        }
        if parts.len() != usize::from(*count) * 3 {
            return Err(damaged("its header has the wrong length"));
        }
        for part in parts.chunks_exact(3) {
            let component = Component {
                id: part[0],
                horizontal: part[1] >> 4,
                vertical: part[1] & 15,
                quantization: part[2],
            };
            if !(1..=4).contains(&component.horizontal) || !(1..=4).contains(&component.vertical) {
                return Err(damaged("its header has an impossible sampling factor"));
            }
            self.found.components.push(component);
        }
        self.check_sampling()
    }

    /// Whether every channel has a whole number of samples for each of the finest: decoders know
    /// no others.
    fn check_sampling(&self) -> Result<(), InspectError> {
        let parts = &self.found.components;
        let horizontal = parts.iter().map(|part| part.horizontal).max().unwrap_or(1);
        let vertical = parts.iter().map(|part| part.vertical).max().unwrap_or(1);
        let whole = |part: &Component| {
            horizontal.is_multiple_of(part.horizontal) && vertical.is_multiple_of(part.vertical)
        };
        if parts.iter().all(whole) {
            return Ok(());
        }
        Err(InspectError::unsupported("JPEG with an uneven subsampling of its channels"))
    }

    fn application(&mut self, marker: u8, length: usize) -> Result<(), InspectError> {
        let data = self.bytes.vec(length)?;
        match marker {
            APP0 if data.starts_with(b"JFIF\0") => self.found.jfif = true,
            APP1 if data.starts_with(b"Exif\0") && data.len() > 6 && self.exif.is_none() => {
                self.exif = Some(data[6..].to_vec());
            }
            APP2 if data.starts_with(b"ICC_PROFILE\0") && data.len() > 14 => {
                let total: usize = self.icc_parts.iter().map(|(_, _, part)| part.len()).sum();
                if total + data.len() <= self.limits.max_icc_bytes && self.icc_parts.len() < 255 {
                    self.icc_parts.push((data[12], data[13], data[14..].to_vec()));
                }
            }
            APP14 if data.starts_with(b"Adobe") && data.len() >= 12 => {
                if data[11] > 2 {
                    return Err(damaged("its way of storing colour does not exist"));
                }
                self.found.adobe_transform = Some(data[11]);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<JpegStructure, InspectError> {
        if self.found.components.is_empty() || self.found.scans == 0 {
            return Err(damaged("it holds no pixels"));
        }
        self.check_complete()?;
        self.found.length = self.bytes.position();
        self.found.exif = self.exif.take().map(exif::facts).unwrap_or_default();
        let colour = self.found.colour();
        self.found.icc =
            assemble(std::mem::take(&mut self.icc_parts)).filter(|icc| icc::describes(icc, colour));
        Ok(self.found)
    }
}

/// Puts the numbered parts of a profile together; `None` when one is missing or there are two of a number.
fn assemble(mut parts: Vec<(u8, u8, Vec<u8>)>) -> Option<Vec<u8>> {
    parts.sort_by_key(|(number, _, _)| *number);
    let count = parts.len();
    let in_order = parts.iter().enumerate().all(|(index, (number, total, _))| {
        usize::from(*number) == index + 1 && usize::from(*total) == count
    });
    (in_order && count > 0).then(|| parts.into_iter().flat_map(|(_, _, part)| part).collect())
}

pub(super) fn damaged(what: &str) -> InspectError {
    InspectError::damaged("JPEG", what)
}
