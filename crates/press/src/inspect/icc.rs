//! Whether an embedded colour profile can be trusted to describe the pixels it came with.

use super::Colour;

/// Whether `profile` is an ICC profile (version 2 or 4) for pixels of this colour. Looks at the header only.
pub(crate) fn describes(profile: &[u8], colour: Colour) -> bool {
    let space: &[u8] = match colour {
        Colour::Gray => b"GRAY",
        Colour::Rgb => b"RGB ",
        Colour::Cmyk => b"CMYK",
    };
    let declared = profile.first_chunk::<4>().map(|size| u32::from_be_bytes(*size) as usize);
    profile.len() >= 132
        && declared.is_some_and(|size| (132..=profile.len()).contains(&size))
        && matches!(profile[8], 2 | 4)
        && matches!(&profile[12..16], b"scnr" | b"mntr" | b"prtr" | b"spac")
        && &profile[16..20] == space
        && &profile[36..40] == b"acsp"
}
