//! What it takes to open a picture, told from its first bytes.

use super::png;

/// Whether a picture must be held whole, with all its pixels, to be inspected or embedded: a
/// progressive JPEG or an interlaced PNG. [`Limits::max_decode_bytes`](super::Limits) bounds the
/// memory for that; all other pictures take little more than their bytes.
///
/// It looks at the headers only and trusts nothing: bytes that are no picture need no memory.
pub fn needs_whole_pixels(bytes: &[u8]) -> bool {
    const INTERLACE_METHOD_AT: usize = 28;
    if bytes.starts_with(&png::SIGNATURE) {
        return bytes.get(INTERLACE_METHOD_AT).is_some_and(|method| *method != 0);
    }
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8]).unwrap_or_default();
    loop {
        // Segments: a marker, then a length that counts itself.
        let [0xFF, marker, tail @ ..] = rest else { return false };
        match marker {
            0xFF => rest = &rest[1..],
            0xC2 => return true,
            0xC0 | 0xC1 | 0xDA | 0xD9 => return false,
            _ => {
                let [high, low, ..] = tail else { return false };
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = tail.get(length.max(2)..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::{PngKind, photograph_sized, png};
    use jpeg_encoder::{ColorType, Encoder};

    #[test]
    fn only_progressive_and_interlaced_pictures_do() {
        let baseline = photograph_sized(1, 64, 48).unwrap().jpeg;
        assert!(!needs_whole_pixels(&baseline));
        let mut progressive = vec![];
        let mut encoder = Encoder::new(&mut progressive, 80);
        encoder.set_progressive(true);
        encoder.encode(&[90; 16 * 16 * 3], 16, 16, ColorType::Rgb).unwrap();
        assert!(needs_whole_pixels(&progressive));
        let mut interlaced = png(1, 32, 32, PngKind::Rgb).unwrap();
        assert!(!needs_whole_pixels(&interlaced));
        interlaced[28] = 1;
        assert!(needs_whole_pixels(&interlaced));
        for end in 0..progressive.len() {
            let _ = needs_whole_pixels(&progressive[..end]);
        }
        assert!(!needs_whole_pixels(b"neither"));
    }
}
