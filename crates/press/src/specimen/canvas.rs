//! Pixels in rows, and the few ways of mixing them that painting needs.

use super::scenes::Tint;

/// An RGB picture, 8 bits per channel.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    pub(super) fn row(&mut self, y: usize) -> &mut [u8] {
        let stride = self.width * 3;
        &mut self.pixels[y * stride..(y + 1) * stride]
    }

    /// A finished row above `y`, and row `y` to be painted from it.
    pub(super) fn mirrored_rows(&mut self, above: usize, y: usize) -> (&[u8], &mut [u8]) {
        let stride = self.width * 3;
        let (upper, lower) = self.pixels.split_at_mut(y * stride);
        (&upper[above * stride..(above + 1) * stride], &mut lower[..stride])
    }
}

/// From `one` (at 0) to `other` (at 1).
pub(super) fn mix(one: Tint, other: Tint, part: f32) -> Tint {
    let part = part.clamp(0.0, 1.0);
    std::array::from_fn(|channel| one[channel] + (other[channel] - one[channel]) * part)
}

/// Smooth step from 0 at `low` to 1 at `high`.
pub(super) fn step(low: f32, high: f32, value: f32) -> f32 {
    let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}
