//! Walks a PNG from chunk to chunk, checks every checksum, and inflates its pixels to count them, holding none.

use std::io::Read;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::bytes::CountedBytes;
use super::exif::{self, ExifFacts};
use super::{Colour, Format, InspectError, Inspection, Limits, check_pixels, icc};

pub(crate) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

const MAX_ANCILLARY_BYTES: usize = 1024 * 1024;
const MAX_PIXEL_RUNS: usize = 500_000;

/// What the chunks of a PNG say.
#[derive(Debug, Default)]
pub(crate) struct PngStructure {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bits: u8,
    /// The colour type as stored: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
    pub(crate) colour_type: u8,
    pub(crate) interlaced: bool,
    /// Three bytes per entry.
    pub(crate) palette: Vec<u8>,
    pub(crate) transparency: bool,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) exif: ExifFacts,
    /// Start and length of each run of compressed pixels within the file.
    pub(crate) pixel_runs: Vec<(u64, u32)>,
    pub(crate) length: u64,
}

impl PngStructure {
    pub(crate) fn colour(&self) -> Colour {
        if matches!(self.colour_type, 0 | 4) { Colour::Gray } else { Colour::Rgb }
    }

    /// Channels of a stored pixel.
    pub(crate) fn channels(&self) -> u8 {
        match self.colour_type {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        }
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.transparency || matches!(self.colour_type, 4 | 6)
    }

    /// Whether PDF understands the compressed pixels as they are.
    pub(crate) fn passes_through(&self) -> bool {
        !self.interlaced && !self.has_alpha()
    }

    /// Bytes of one row of `width` pixels, without its filter byte.
    fn row_bytes(&self, width: u32) -> u64 {
        (u64::from(width) * u64::from(self.channels()) * u64::from(self.bits)).div_ceil(8)
    }

    /// Rows as (how many, bytes in each with its filter byte): one entry, or one for each interlacing pass.
    fn passes(&self) -> Vec<(u64, u64)> {
        if !self.interlaced {
            return vec![(u64::from(self.height), self.row_bytes(self.width) + 1)];
        }
        // First column and row of each pass, and the steps between them.
        [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]
        .iter()
        .map(|(x, y, step_x, step_y): &(u32, u32, u32, u32)| {
            let width = self.width.saturating_sub(*x).div_ceil(*step_x);
            let height = self.height.saturating_sub(*y).div_ceil(*step_y);
            (if width == 0 { 0 } else { u64::from(height) }, self.row_bytes(width) + 1)
        })
        .filter(|(rows, _)| *rows > 0)
        .collect()
    }

    pub(crate) fn inspection(&self) -> Inspection {
        Inspection {
            format: Format::Png,
            width: self.width,
            height: self.height,
            orientation: self.exif.orientation,
            colour: self.colour(),
            bits: self.bits,
            alpha: self.has_alpha(),
            has_icc: self.icc.is_some(),
            progressive: self.interlaced,
            captured_at: self.exif.captured_at,
            passes_through: self.passes_through(),
            decoded: true,
            picture_bytes: self.length,
        }
    }
}

/// Walks from the signature to the `IEND` chunk. The reader must stand at the start.
pub(crate) fn walk(source: &mut impl Read, limits: &Limits) -> Result<PngStructure, InspectError> {
    let mut bytes = CountedBytes::new(source, "PNG");
    if bytes.array::<8>()? != SIGNATURE {
        return Err(InspectError::NotAnImage);
    }
    let mut walk = Walk { bytes, limits, found: PngStructure::default(), pixels: None, exif: None };
    walk.header()?;
    while walk.chunk()? {}
    walk.finish()
}

struct Walk<'a, R> {
    bytes: CountedBytes<R>,
    limits: &'a Limits,
    found: PngStructure,
    pixels: Option<PixelCount>,
    exif: Option<Vec<u8>>,
}

impl<R: Read> Walk<'_, R> {
    fn header(&mut self) -> Result<(), InspectError> {
        let (length, kind) = self.chunk_start()?;
        if &kind != b"IHDR" || length != 13 {
            return Err(damaged("its header is missing"));
        }
        let header = self.checked(kind, 13)?;
        let number = |at: usize| {
            header[at..at + 4].iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let (width, height) = (number(0), number(4));
        if width == 0 || height == 0 || width > i32::MAX as u32 || height > i32::MAX as u32 {
            return Err(damaged("its header has an impossible size"));
        }
        check_pixels(width, height, self.limits)?;
        let depth_fits = match header[9] {
            0 => matches!(header[8], 1 | 2 | 4 | 8 | 16),
            3 => matches!(header[8], 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(header[8], 8 | 16),
            _ => false,
        };
        if !depth_fits || header[10] != 0 || header[11] != 0 || header[12] > 1 {
            return Err(damaged("its header has an impossible kind of pixels"));
        }
        self.found = PngStructure {
            width,
            height,
            bits: header[8],
            colour_type: header[9],
            interlaced: header[12] == 1,
            ..PngStructure::default()
        };
        Ok(())
    }

    fn chunk_start(&mut self) -> Result<(u32, [u8; 4]), InspectError> {
        let length = self.bytes.u32()?;
        let kind = self.bytes.array::<4>()?;
        if length > i32::MAX as u32 || !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(damaged("a chunk has an impossible length or name"));
        }
        Ok((length, kind))
    }

    /// Reads one chunk; false when it was the last.
    fn chunk(&mut self) -> Result<bool, InspectError> {
        let (length, kind) = self.chunk_start()?;
        let size = length as usize;
        match &kind {
            b"IDAT" => self.pixels(length)?,
            b"IEND" if size == 0 => {
                self.checked(kind, size)?;
                return Ok(false);
            }
            b"IHDR" => return Err(damaged("it has two headers")),
            b"PLTE" => self.palette(size)?,
            b"tRNS" if size <= 256 => {
                self.checked(kind, size)?;
                self.found.transparency = true;
            }
            b"iCCP" if size <= self.limits.max_icc_bytes => {
                let data = self.checked(kind, size)?;
                self.found.icc = profile(&data, self.limits.max_icc_bytes);
            }
            b"eXIf" if size <= MAX_ANCILLARY_BYTES => self.exif = Some(self.checked(kind, size)?),
            [first, ..] if first.is_ascii_uppercase() => {
                return Err(InspectError::unsupported("PNG with an unknown kind of pixels"));
            }
            _ => self.passed_over(kind, size)?,
        }
        Ok(true)
    }

    fn palette(&mut self, size: usize) -> Result<(), InspectError> {
        if size == 0 || size > 768 || !size.is_multiple_of(3) || self.pixels.is_some() {
            return Err(damaged("its palette is impossible"));
        }
        self.found.palette = self.checked(*b"PLTE", size)?;
        Ok(())
    }

    fn pixels(&mut self, length: u32) -> Result<(), InspectError> {
        if self.found.colour_type == 3 && self.found.palette.is_empty() {
            return Err(damaged("its palette is missing"));
        }
        if self.found.pixel_runs.len() >= MAX_PIXEL_RUNS {
            return Err(InspectError::unsupported("PNG in very many pieces"));
        }
        if length > 0 {
            self.found.pixel_runs.push((self.bytes.position(), length));
        }
        let mut pixels = self.pixels.take().unwrap_or_else(|| PixelCount::new(self.found.passes()));
        self.passed(*b"IDAT", length as usize, |part| pixels.take(part))?;
        self.pixels = Some(pixels);
        Ok(())
    }

    /// The content of a chunk, small enough to hold, once its checksum was found right.
    fn checked(&mut self, kind: [u8; 4], size: usize) -> Result<Vec<u8>, InspectError> {
        let mut content = Vec::new();
        self.passed(kind, size, |part| {
            content.extend_from_slice(part);
            Ok(())
        })?;
        Ok(content)
    }

    fn passed_over(&mut self, kind: [u8; 4], size: usize) -> Result<(), InspectError> {
        self.passed(kind, size, |_| Ok(()))
    }

    /// Hands the content of a chunk over piece by piece, then compares its checksum.
    fn passed(
        &mut self,
        kind: [u8; 4],
        size: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), InspectError>,
    ) -> Result<(), InspectError> {
        let mut checksum = Crc::new();
        checksum.update(&kind);
        let mut left = size;
        while left > 0 {
            let at_hand = self.bytes.buffered()?;
            let part = &at_hand[..at_hand.len().min(left)];
            checksum.update(part);
            take(part)?;
            let count = part.len();
            self.bytes.consume(count);
            left -= count;
        }
        if self.bytes.u32()? != checksum.sum() {
            return Err(damaged("a checksum is wrong"));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<PngStructure, InspectError> {
        if !self.pixels.is_some_and(|pixels| pixels.complete()) {
            return Err(damaged("it holds fewer pixels than its header says"));
        }
        self.found.length = self.bytes.position();
        self.found.exif = self.exif.take().map(exif::facts).unwrap_or_default();
        let colour = self.found.colour();
        self.found.icc = self.found.icc.take().filter(|icc| icc::describes(icc, colour));
        Ok(self.found)
    }
}

/// Inflates the pixels to see that they are all there, and that each row starts with a filter that exists.
struct PixelCount {
    inflate: Decompress,
    passes: std::vec::IntoIter<(u64, u64)>,
    rows_left: u64,
    row_bytes: u64,
    /// Bytes of the current row still to come; a new row starts at zero.
    row_left: u64,
    ended: bool,
    window: Vec<u8>,
}

impl PixelCount {
    fn new(passes: Vec<(u64, u64)>) -> Self {
        Self {
            inflate: Decompress::new(true),
            passes: passes.into_iter(),
            rows_left: 0,
            row_bytes: 0,
            row_left: 0,
            ended: false,
            window: vec![0; 64 * 1024],
        }
    }

    fn take(&mut self, mut compressed: &[u8]) -> Result<(), InspectError> {
        let mut window = std::mem::take(&mut self.window);
        // A full window may hide more output behind input that is used up already.
        let mut window_was_full = false;
        while !self.ended && (!compressed.is_empty() || window_was_full) {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(compressed, &mut window, FlushDecompress::None)
                .map_err(|_| damaged("its pixels cannot be inflated"))?;
            let used = (self.inflate.total_in() - before_in) as usize;
            let made = (self.inflate.total_out() - before_out) as usize;
            self.count(&window[..made])?;
            compressed = &compressed[used..];
            window_was_full = made == window.len();
            self.ended = status == Status::StreamEnd;
            if used == 0 && made == 0 {
                break;
            }
        }
        self.window = window;
        Ok(())
    }

    fn count(&mut self, mut rows: &[u8]) -> Result<(), InspectError> {
        while let Some(first) = rows.first() {
            if self.row_left == 0 {
                if self.rows_left == 0 {
                    let next = self.passes.next();
                    let (count, bytes) =
                        next.ok_or_else(|| damaged("it holds more pixels than its header says"))?;
                    (self.rows_left, self.row_bytes) = (count, bytes);
                }
                if *first > 4 {
                    return Err(damaged("a row of pixels is encoded in an impossible way"));
                }
                self.rows_left -= 1;
                self.row_left = self.row_bytes;
            }
            let count = self.row_left.min(rows.len() as u64);
            self.row_left -= count;
            rows = &rows[count as usize..];
        }
        Ok(())
    }

    fn complete(&self) -> bool {
        self.ended && self.row_left == 0 && self.rows_left == 0 && self.passes.len() == 0
    }
}

/// The profile in an `iCCP` chunk: a name, a zero, the method (zero), and deflated bytes.
fn profile(chunk: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    let name_end = chunk.iter().take(80).position(|byte| *byte == 0)?;
    let [0, deflated @ ..] = chunk.get(name_end + 1..)? else { return None };
    let mut profile = Vec::new();
    let mut inflate = flate2::read::ZlibDecoder::new(deflated).take(max_bytes as u64 + 1);
    inflate.read_to_end(&mut profile).ok()?;
    (profile.len() <= max_bytes).then_some(profile)
}

fn damaged(what: &str) -> InspectError {
    InspectError::damaged("PNG", what)
}
