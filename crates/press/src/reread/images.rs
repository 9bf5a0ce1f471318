//! Whether an image object holds as many pixels as it says.

use std::io::Read;

use flate2::read::ZlibDecoder;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream};

use super::RereadError;

/// How the pixels of an image are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Jpeg,
    Deflate,
}

/// Checks one image, and its soft mask if it has one.
pub(super) fn check(document: &Document, id: ObjectId) -> Result<Coding, RereadError> {
    let image = ImageReader::new(document, id)?;
    if let Ok(mask) = image.stream.dict.get(b"SMask") {
        let mask = mask.as_reference().map_err(|_| image.error("its mask is not there"))?;
        let mask = ImageReader::new(document, mask)?;
        if (mask.width, mask.height) != (image.width, image.height) {
            return Err(mask.error("a mask is not as large as its image"));
        }
        mask.pixels()?;
    }
    image.pixels()
}

struct ImageReader<'a> {
    document: &'a Document,
    id: ObjectId,
    stream: &'a Stream,
    width: u64,
    height: u64,
    bits: u64,
}

impl<'a> ImageReader<'a> {
    fn new(document: &'a Document, id: ObjectId) -> Result<Self, RereadError> {
        let error = |what: &str| RereadError::Image { object: id.0, what: what.to_owned() };
        let stream = document
            .get_object(id)
            .and_then(Object::as_stream)
            .map_err(|_| error("it is not there"))?;
        if stream.dict.get(b"Subtype").and_then(Object::as_name).ok() != Some(b"Image") {
            return Err(error("it is not an image"));
        }
        let number = |name: &str| {
            number(&stream.dict, name, document).filter(|number| (1..=1 << 24).contains(number))
        };
        let missing = |name: &str| error(&format!("it has no valid {name}"));
        Ok(Self {
            document,
            id,
            stream,
            width: number("Width").ok_or_else(|| missing("Width"))?,
            height: number("Height").ok_or_else(|| missing("Height"))?,
            bits: number("BitsPerComponent").ok_or_else(|| missing("BitsPerComponent"))?,
        })
    }

    fn pixels(&self) -> Result<Coding, RereadError> {
        let filter = self.stream.dict.get_deref(b"Filter", self.document).and_then(Object::as_name);
        match filter {
            Ok(b"DCTDecode") => self.jpeg().map(|()| Coding::Jpeg),
            Ok(b"FlateDecode") => self.deflated().map(|()| Coding::Deflate),
            _ => Err(self.error("it is compressed in a way that is not expected here")),
        }
    }

    fn jpeg(&self) -> Result<(), RereadError> {
        let bytes = &self.stream.content;
        if !bytes.starts_with(&[0xFF, 0xD8]) || !bytes.ends_with(&[0xFF, 0xD9]) {
            return Err(self.error("its JPEG is cut short"));
        }
        let mut decoder = jpeg_decoder::Decoder::new(bytes.as_slice());
        decoder.read_info().map_err(|error| self.error(&error.to_string()))?;
        let info = decoder.info().ok_or_else(|| self.error("its JPEG has no header"))?;
        let channels = info.pixel_format.pixel_bytes() as u64;
        let size = (u64::from(info.width), u64::from(info.height));
        if size != (self.width, self.height) || channels != self.channels()? || self.bits != 8 {
            return Err(self.error("its JPEG is not what the PDF says"));
        }
        Ok(())
    }

    fn deflated(&self) -> Result<(), RereadError> {
        let parameters = self.stream.dict.get_deref(b"DecodeParms", self.document);
        let parameters = parameters.and_then(Object::as_dict).ok();
        let parameter = |name: &str, default: u64| {
            parameters.and_then(|found| number(found, name, self.document)).unwrap_or(default)
        };
        let channels = self.channels()?;
        let mut row_bytes = (self.width * channels * self.bits).div_ceil(8);
        if parameter("Predictor", 1) >= 10 {
            let told =
                (parameter("Columns", 1), parameter("Colors", 1), parameter("BitsPerComponent", 8));
            if told != (self.width, channels, self.bits) {
                return Err(self.error("its predictor does not fit its pixels"));
            }
            row_bytes += 1;
        }
        let expected = row_bytes * self.height;
        let mut inflate = ZlibDecoder::new(self.stream.content.as_slice()).take(expected + 1);
        let count = std::io::copy(&mut inflate, &mut std::io::sink())
            .map_err(|error| self.error(&format!("its pixels cannot be inflated: {error}")))?;
        if count != expected {
            return Err(self.error(&format!("it holds {count} bytes of pixels, not {expected}")));
        }
        Ok(())
    }

    /// Channels of a pixel, by the colour space.
    fn channels(&self) -> Result<u64, RereadError> {
        let space = self.stream.dict.get_deref(b"ColorSpace", self.document).ok();
        let channels = match space {
            Some(Object::Name(name)) => named_channels(name),
            Some(Object::Array(parts)) => {
                match parts.first().and_then(|name| name.as_name().ok()) {
                    Some(b"ICCBased") => {
                        parts.get(1).and_then(|profile| self.profile_channels(profile))
                    }
                    Some(b"Indexed") => Some(1),
                    _ => None,
                }
            }
            _ => None,
        };
        channels.ok_or_else(|| self.error("its colour space is not expected here"))
    }

    fn profile_channels(&self, profile: &Object) -> Option<u64> {
        let (_, profile) = self.document.dereference(profile).ok()?;
        let profile = profile.as_stream().ok()?;
        let bytes = profile.decompressed_content_with_limit(super::MAX_CONTENT_BYTES).ok()?;
        let channels = number(&profile.dict, "N", self.document)?;
        let space: &[u8] = match channels {
            1 => b"GRAY",
            3 => b"RGB ",
            4 => b"CMYK",
            _ => return None,
        };
        (bytes.get(16..20) == Some(space)).then_some(channels)
    }

    fn error(&self, what: &str) -> RereadError {
        RereadError::Image { object: self.id.0, what: what.to_owned() }
    }
}

fn named_channels(name: &[u8]) -> Option<u64> {
    match name {
        b"DeviceGray" => Some(1),
        b"DeviceRGB" => Some(3),
        b"DeviceCMYK" => Some(4),
        _ => None,
    }
}

fn number(dict: &Dictionary, name: &str, document: &Document) -> Option<u64> {
    let found = dict.get_deref(name.as_bytes(), document).and_then(Object::as_i64).ok()?;
    u64::try_from(found).ok()
}
