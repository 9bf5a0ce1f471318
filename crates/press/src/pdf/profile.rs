//! Colour profiles: those that pictures bring, each written once, and sRGB for pictures that bring none.

use std::collections::HashMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use moxcms::{ColorProfile, ProfileText};
use pdf_writer::{Name, Ref};
use sha2::{Digest, Sha256};

use super::file::PdfFile;
use crate::inspect::Colour;

/// Profiles already in the file, by their hash.
#[derive(Default)]
pub(crate) struct Profiles {
    written: HashMap<[u8; 32], Ref>,
}

impl Profiles {
    /// The profile object for pixels of this colour: the picture's own, or the default. `None` for untagged CMYK, which
    /// is left to the device, since no default could be right.
    pub(crate) fn object<W: Write>(
        &mut self,
        file: &mut PdfFile<W>,
        own: Option<&[u8]>,
        colour: Colour,
    ) -> io::Result<Option<Ref>> {
        let default;
        let profile = match (own, colour) {
            (Some(profile), _) => profile,
            (None, Colour::Cmyk) => return Ok(None),
            (None, Colour::Rgb) => {
                default = srgb()?;
                default.as_slice()
            }
            (None, Colour::Gray) => {
                default = gray()?;
                default.as_slice()
            }
        };
        let hash: [u8; 32] = Sha256::digest(profile).into();
        if let Some(id) = self.written.get(&hash) {
            return Ok(Some(*id));
        }
        let id = file.reserve();
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(profile)?;
        let deflated = encoder.finish()?;
        let channels = match colour {
            Colour::Gray => 1,
            Colour::Rgb => 3,
            Colour::Cmyk => 4,
        };
        file.stream(id, &[&deflated], |entries| {
            entries.pair(Name(b"N"), channels);
            entries.pair(Name(b"Filter"), Name(b"FlateDecode"));
        })?;
        self.written.insert(hash, id);
        Ok(Some(id))
    }
}

/// The sRGB profile, the same bytes every time.
pub(crate) fn srgb() -> io::Result<Vec<u8>> {
    encode(ColorProfile::new_srgb())
}

/// Gray with the tone curve of sRGB.
fn gray() -> io::Result<Vec<u8>> {
    let mut profile = ColorProfile::new_gray_with_gamma(2.2);
    profile.gray_trc = ColorProfile::new_srgb().red_trc;
    profile.description = Some(ProfileText::PlainString("sRGB gray".to_owned()));
    encode(profile)
}

/// The encoded profile, with its time of making (bytes 24 to 36 of the header: six numbers from the year to the second)
/// set to the start of 2020. The encoder writes the time of day there, which would change every PDF made twice.
fn encode(profile: ColorProfile) -> io::Result<Vec<u8>> {
    let encoded = profile.encode();
    let mut bytes =
        encoded.map_err(|error| io::Error::other(format!("colour profile: {error}")))?;
    let time = bytes.get_mut(24..36).ok_or_else(|| io::Error::other("colour profile too short"))?;
    time.copy_from_slice(&[0x07, 0xE4, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::describes;

    /// A profile that changes, changes every book. If this fails because its encoder changed on purpose, the renderer
    /// needs a new version as well.
    #[test]
    fn default_profiles_never_change() {
        let hash = |profile: &[u8]| hex::encode(&Sha256::digest(profile)[..8]);
        let (srgb, gray) = (srgb().expect("encodes"), gray().expect("encodes"));
        assert!(describes(&srgb, Colour::Rgb) && describes(&gray, Colour::Gray));
        assert_eq!(
            (hash(&srgb).as_str(), hash(&gray).as_str()),
            ("efe74de64b53f89f", "4b89b6a2d7da4622")
        );
    }
}
