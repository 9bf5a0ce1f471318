//! Noise that looks natural: one seamless texture of clouds, made once, and cheap random numbers.

use std::sync::OnceLock;

/// Side of the texture in cells; a power of two.
pub(super) const SIDE: usize = 512;

/// A seamless texture of fractal noise, 0 to 255, evenly spread around 128.
fn texture() -> &'static [u8] {
    static TEXTURE: OnceLock<Vec<u8>> = OnceLock::new();
    TEXTURE.get_or_init(make)
}

/// One row of the texture, any number of rows down.
pub(super) fn row(row: usize) -> &'static [u8; SIDE] {
    texture().as_chunks::<SIDE>().0.get(row & (SIDE - 1)).unwrap_or(&[128; SIDE])
}

/// The texture at any place in cells, smooth between cells: -1 to 1.
pub(super) fn at(x: f32, y: f32) -> f32 {
    let (texture, mask) = (texture(), SIDE - 1);
    let (floor_x, floor_y) = (x.floor(), y.floor());
    let (part_x, part_y) = (x - floor_x, y - floor_y);
    let (column, row) = (floor_x as i32 as usize & mask, floor_y as i32 as usize & mask);
    let cell =
        |column: usize, row: usize| f32::from(texture[(row & mask) * SIDE + (column & mask)]);
    let upper = cell(column, row) * (1.0 - part_x) + cell(column + 1, row) * part_x;
    let lower = cell(column, row + 1) * (1.0 - part_x) + cell(column + 1, row + 1) * part_x;
    (upper * (1.0 - part_y) + lower * part_y) / 127.5 - 1.0
}

/// A well-mixed number from any number.
pub(super) fn hash(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The `index`-th number from 0 to 1 of a seed.
pub(super) fn chance(seed: u64, index: u64) -> f32 {
    (hash(seed ^ hash(index)) >> 40) as f32 / (1u64 << 24) as f32
}

fn make() -> Vec<u8> {
    let mut sums = vec![0f32; SIDE * SIDE];
    for octave in 0..8 {
        let cells = 2usize << octave;
        let lattice: Vec<f32> =
            (0..cells * cells).map(|index| chance(octave, index as u64) * 2.0 - 1.0).collect();
        let step = SIDE / cells;
        let weight = 0.58f32.powi(octave as i32);
        for (index, sum) in sums.iter_mut().enumerate() {
            let (x, y) = (index % SIDE, index / SIDE);
            let (column, row) = (x / step, y / step);
            let smooth = |part: f32| part * part * (3.0 - 2.0 * part);
            let part_x = smooth((x % step) as f32 / step as f32);
            let part_y = smooth((y % step) as f32 / step as f32);
            let cell = |column: usize, row: usize| lattice[row % cells * cells + column % cells];
            let upper = cell(column, row) * (1.0 - part_x) + cell(column + 1, row) * part_x;
            let lower = cell(column, row + 1) * (1.0 - part_x) + cell(column + 1, row + 1) * part_x;
            *sum += weight * (upper * (1.0 - part_y) + lower * part_y);
        }
    }
    let most = sums.iter().fold(0f32, |most, sum| most.max(sum.abs())).max(f32::MIN_POSITIVE);
    sums.iter().map(|sum| (127.5 + 127.5 * sum / most) as u8).collect()
}
