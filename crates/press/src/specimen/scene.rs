//! Paints a scene, row by row: sky, ridges, water, ground, and the grain of the sensor over all.

use super::canvas::{Canvas, mix, step};
use super::noise::{self, SIDE, at, chance, hash};
use super::scenes::{Ridge, Scene, Tint, Water, scene};

/// The sky is painted at a fraction of the size; it has no edges to lose.
const SKY_SCALE: usize = 8;

/// The landscape with this seed as rows of RGB pixels.
pub(super) fn paint(seed: u64, width: usize, height: usize) -> Vec<u8> {
    let scene = scene(seed);
    let mut canvas = Canvas::new(width, height);
    let land: Vec<Outline> = scene
        .ridges
        .iter()
        .enumerate()
        .map(|(index, ridge)| Outline::new(ridge, hash(seed ^ (index as u64 + 1) << 8), &canvas))
        .collect();
    let water_line = scene
        .water
        .as_ref()
        .map_or(height, |water| ((water.line * height as f32) as usize).clamp(1, height));
    paint_sky(&scene, seed, &mut canvas, water_line);
    paint_ridges(&land, &mut canvas, 0..water_line);
    if let Some(water) = &scene.water {
        paint_water(&scene, water, seed, &mut canvas, water_line);
    }
    if let Some(ground) = &scene.ground {
        let outline = [Outline::new(ground, hash(seed ^ 0xABCD), &canvas)];
        paint_ridges(&outline, &mut canvas, 0..height);
    }
    finish(&mut canvas, seed);
    canvas.pixels
}

fn paint_sky(scene: &Scene, seed: u64, canvas: &mut Canvas, rows: usize) {
    let (width, height) = (canvas.width, canvas.height);
    let (columns, small_rows) = (width / SKY_SCALE + 2, rows / SKY_SCALE + 2);
    let unit = SKY_SCALE as f32 / height as f32;
    let small: Vec<[i32; 3]> = (0..columns * small_rows)
        .map(|index| {
            let (x, y) = ((index % columns) as f32 * unit, (index / columns) as f32 * unit);
            sky_tint(scene, seed, x, y, width as f32 / height as f32)
                .map(|channel| (channel.clamp(0.0, 255.0) * 64.0) as i32)
        })
        .collect();
    let mut between = vec![[0i32; 3]; columns];
    let scale = SKY_SCALE as i32;
    for y in 0..rows {
        let (row, part) = (y / SKY_SCALE, (y % SKY_SCALE) as i32);
        let (upper, lower) = (&small[row * columns..], &small[(row + 1) * columns..]);
        for ((tint, above), below) in between.iter_mut().zip(upper).zip(lower) {
            *tint = std::array::from_fn(|channel| {
                (above[channel] * (scale - part) + below[channel] * part) / scale
            });
        }
        for (index, block) in canvas.row(y).chunks_mut(3 * SKY_SCALE).enumerate() {
            let (left, right) = (between[index], between[index + 1]);
            let mut tint = left;
            let rise: [i32; 3] =
                std::array::from_fn(|channel| (right[channel] - left[channel]) / scale);
            for pixel in block.chunks_exact_mut(3) {
                for channel in 0..3 {
                    pixel[channel] = (tint[channel] >> 6) as u8;
                    tint[channel] += rise[channel];
                }
            }
        }
    }
    if scene.stars {
        paint_stars(seed, canvas, rows);
    }
}

/// The sky at a place in heights of the picture: gradient, clouds, glow and the light itself.
fn sky_tint(scene: &Scene, seed: u64, x: f32, y: f32, aspect: f32) -> Tint {
    let down = (y / scene.horizon).min(1.0);
    let mut tint = if down < 0.55 {
        mix(scene.sky[0], scene.sky[1], down / 0.55)
    } else {
        mix(scene.sky[1], scene.sky[2], (down - 0.55) / 0.45)
    };
    let light = &scene.light;
    let (across, below) = (x - light.place.0 * aspect, y - light.place.1);
    let distance = (across * across + below * below).sqrt();
    let glow = (1.0 - distance / light.glow.0).max(0.0);
    tint = mix(tint, light.tint, glow * glow * light.glow.1);
    // Clouds lie flat: they are stretched sideways, the more so the nearer to the horizon.
    let offset = (hash(seed) & 511) as f32;
    let flat = 0.25 + down * 0.9;
    let shape = at(x * 105.0 + offset, y * 260.0 * flat + offset)
        + 0.4 * at(x * 420.0 + offset, y * 980.0 * flat);
    let (amount, cloud) = scene.clouds;
    let cover = step(0.5 - amount * 0.75, 1.1 - amount * 0.6, shape + 0.1);
    let lit = mix(cloud, light.tint, glow * 0.8);
    tint = mix(tint, lit, cover * 0.85 * (1.0 - 0.5 * step(0.75, 1.0, down)));
    let disc = 1.0 - step(light.radius * 0.85, light.radius * 1.1, distance);
    mix(tint, light.tint, disc * (1.0 - cover * 0.5))
}

fn paint_stars(seed: u64, canvas: &mut Canvas, rows: usize) {
    let (width, size) = (canvas.width, (canvas.height / 1400).max(1));
    for star in 0..500u64 {
        let x = (chance(seed, 1000 + star * 3) * (width - size) as f32) as usize;
        let height = chance(seed, 1001 + star * 3);
        let y = (height * height * rows.saturating_sub(size) as f32) as usize;
        let bright = 40.0 + 190.0 * chance(seed, 1002 + star * 3).powi(4);
        for row in y..(y + size).min(rows) {
            for value in &mut canvas.row(row)[x * 3..(x + size) * 3] {
                *value = value.saturating_add(bright as u8);
            }
        }
    }
}

/// A ridge with the height of its line in every column.
struct Outline<'a> {
    ridge: &'a Ridge,
    /// Row of the line in each column, in 256ths.
    lines: Vec<i32>,
    /// Light on each column, by its slope.
    lights: Vec<i32>,
    /// Row down to which there is snow, in each column.
    snow: Vec<i32>,
    top: usize,
    /// The row from which the ridge covers the whole width.
    full: usize,
    offset: usize,
}

impl<'a> Outline<'a> {
    fn new(ridge: &'a Ridge, seed: u64, canvas: &Canvas) -> Self {
        let height = canvas.height as f32;
        let offset = (seed & 0xFFFF) as f32;
        let stretch = 70.0 + 80.0 * (ridge.jagged * 3.0).min(1.0);
        let wide = |x: f32| at(x * stretch + offset, offset * 0.37) * 1.5;
        let line = |x: f32| {
            let rough = at(x * 620.0 + offset, offset * 0.61) * 0.34
                + at(x * 2600.0 + offset, offset * 0.83) * 0.1;
            // Sharp crests where the noise changes sign.
            let crest = (0.35 - at(x * 210.0 + offset, offset * 0.17).abs()) * 1.3;
            let jagged = ridge.jagged;
            ridge.line - ridge.swing * (wide(x) * (1.0 - 0.5 * jagged) + jagged * (crest + rough))
        };
        let bare: Vec<f32> = (0..canvas.width).map(|x| line(x as f32 / height) * height).collect();
        let lights = (0..canvas.width)
            .map(|x| {
                let x = x as f32 / height;
                let slope = (wide(x - 0.03) - wide(x + 0.03)) / 0.06 * ridge.swing;
                (slope * 44.0).clamp(-20.0, 20.0) as i32
            })
            .collect();
        let snow = (0..canvas.width)
            .map(|x| {
                let high = (ridge.line * height - bare[x]) / (ridge.swing * height).max(1.0);
                let ragged = 0.65 + 0.75 * at(x as f32 / height * 560.0, offset);
                (bare[x] + ridge.snow * height * (high + 0.25).clamp(0.0, 1.4) * ragged) as i32
            })
            .collect();
        let mut lines = bare;
        if ridge.trees > 0.0 {
            plant(&mut lines, ridge.trees * height, seed);
        }
        let lines: Vec<i32> = lines.iter().map(|line| (line * 256.0) as i32).collect();
        let row = |line: Option<&i32>| (line.map_or(0, |line| line >> 8)).max(0) as usize;
        let (top, full) = (row(lines.iter().min()), row(lines.iter().max()) + 1);
        Self { ridge, lines, lights, snow, top, full, offset: (seed >> 20) as usize }
    }

    fn paint_row(&self, y: usize, height: usize, row: &mut [u8]) {
        let ridge = self.ridge;
        let foot = (ridge.line + ridge.swing + 0.16) * height as f32;
        let down = (y as f32 - self.top as f32) / (foot - self.top as f32).max(1.0);
        let tint = mix(ridge.tints.0, ridge.tints.1, down).map(|channel| channel as i32);
        // Texture cells per pixel in 256ths, so that a surface looks the same at every size.
        let cells = (256 * 1500 / height.max(1)).max(1);
        let texture_row = |scale: usize| noise::row(y * cells * scale / 512 + self.offset);
        let (coarse, fine) = (texture_row(1), texture_row(5));
        let fade_rate = 3000 / height.max(1) as i32;
        let (grain, snowy) = (ridge.grain as i32, ridge.snow > 0.0);
        let columns = self.lines.iter().zip(&self.lights).zip(&self.snow).enumerate();
        for (pixel, (x, ((line, light), snow))) in row.chunks_exact_mut(3).zip(columns) {
            let depth = ((y as i32) << 8) + 256 - line;
            if depth <= 0 {
                continue;
            }
            let coarse = i32::from(coarse[(x * cells / 768 + self.offset) & (SIDE - 1)]) - 128;
            let fine = i32::from(fine[(x * cells * 5 / 512) & (SIDE - 1)]) - 128;
            let surface = (coarse + fine) * grain / 128;
            let fade = 256 - (depth * fade_rate / 256).min(256);
            let shade = surface + light * fade / 256;
            let base = if snowy && (y as i32) + fine / 6 < *snow { [238, 243, 250] } else { tint };
            let cover = depth.min(256);
            for channel in 0..3 {
                let painted = (base[channel] + shade).clamp(0, 255);
                let before = i32::from(pixel[channel]);
                pixel[channel] = (before + (painted - before) * cover / 256) as u8;
            }
        }
    }
}

/// Raises the line by the outlines of trees, of about this height in pixels.
fn plant(lines: &mut [f32], tall: f32, seed: u64) {
    let ground = lines.to_vec();
    let spacing = (tall * 0.22).max(1.5);
    let count = (lines.len() as f32 / spacing) as u64 + 2;
    for tree in 0..count {
        let middle = (tree as f32 + chance(seed, tree * 2) - 0.5) * spacing;
        let high = tall * (0.45 + 0.75 * chance(seed, tree * 2 + 1).powi(2));
        let half = high * 0.24;
        let from = (middle - half).max(0.0) as usize;
        let to = ((middle + half).max(0.0) as usize).min(lines.len().saturating_sub(1));
        for x in from..=to {
            let near = 1.0 - (x as f32 - middle).abs() / half.max(0.5);
            // Boughs make the outline step.
            let stepped = near * 0.75 + (near * 6.0).floor() / 6.0 * 0.25;
            lines[x] = lines[x].min(ground[x] - high * stepped.max(0.0));
        }
    }
}

fn paint_ridges(outlines: &[Outline<'_>], canvas: &mut Canvas, rows: std::ops::Range<usize>) {
    let height = canvas.height;
    for y in rows {
        let lowest = outlines.iter().rposition(|outline| outline.full < y).unwrap_or(0);
        for outline in &outlines[lowest..] {
            if outline.top <= y {
                outline.paint_row(y, height, canvas.row(y));
            }
        }
    }
}

/// Mirrors what is above the line, bent by waves, and lets the light glitter.
fn paint_water(scene: &Scene, water: &Water, seed: u64, canvas: &mut Canvas, line: usize) {
    let (width, height) = (canvas.width, canvas.height);
    let offset = hash(seed ^ 77) as usize & (SIDE - 1);
    let light_x = scene.light.place.0 * width as f32;
    let tint = water.tint.map(|channel| channel as i32);
    let light = scene.light.tint.map(|channel| channel as i32);
    let cells = (256 * 1500 / height.max(1)).max(1);
    let roughness = (water.waves * 41.0) as i32;
    for y in line..height {
        let depth = (y - line) as f32 / (height - line).max(1) as f32;
        let above = line.saturating_sub(1 + (y - line) * 9 / 10);
        // Waves look larger the nearer they are.
        let rows = 900.0 * depth.powf(0.62);
        let waves = noise::row(rows as usize + offset);
        let ripples = noise::row((rows * 5.3) as usize + offset);
        let bend = (water.waves * (2.0 + 16.0 * depth) * height as f32 / 1500.0 * 4.0) as i32;
        let mirror = (256.0 * water.mirror * (1.0 - 0.45 * depth)) as i32;
        let reach = width as f32 * (0.03 + 0.12 * depth);
        let (source, row) = canvas.mirrored_rows(above, y);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let wave = i32::from(waves[(x * cells / 640 + offset) & (SIDE - 1)]) - 128;
            let ripple = i32::from(ripples[(x * cells / 96) & (SIDE - 1)]) - 128;
            let from = (x as i32 + wave * bend / 256).clamp(0, width as i32 - 1) as usize * 3;
            let mut relief = [(wave + ripple) * roughness / 256; 3];
            if wave + ripple > 38 {
                let path = (1.0 - ((x as f32 - light_x) / reach).abs()).max(0.0);
                let sparkle = (((wave + ripple - 38) as f32 * path * 3.0) as i32).min(150);
                relief =
                    std::array::from_fn(|channel| relief[channel] + sparkle * light[channel] / 255);
            }
            for channel in 0..3 {
                let mirrored = i32::from(source[from + channel]);
                let mixed = tint[channel] + (mirrored - tint[channel]) * mirror / 256;
                pixel[channel] = (mixed + relief[channel]).clamp(0, 255) as u8;
            }
        }
    }
}

/// Sensor grain, and corners a little darker than the middle.
fn finish(canvas: &mut Canvas, seed: u64) {
    let (width, height) = (canvas.width, canvas.height);
    let fall = |place: usize, length: usize| {
        let from_middle = place as f32 / length as f32 * 2.0 - 1.0;
        (from_middle * from_middle * 26.0) as i16
    };
    let columns: Vec<i16> = (0..width * 3).map(|index| fall(index / 3, width)).collect();
    // Rows start at different places in one long strip of grain, the same for the three channels of a pixel.
    let strip: Vec<i16> = (0..2 * width as u64)
        .flat_map(|index| {
            let random = hash(seed ^ index << 20);
            // Three uniform numbers add up to something bell-shaped.
            let sum = (random & 7) + (random >> 8 & 7) + (random >> 16 & 7);
            [(sum as i16 - 10) / 2; 3]
        })
        .collect();
    for y in 0..height {
        let row_fall = 256 - fall(y, height);
        let start = hash(seed ^ !(y as u64)) as usize % width * 3;
        let grain = &strip[start..start + width * 3];
        for ((value, fall), grain) in canvas.row(y).iter_mut().zip(&columns).zip(grain) {
            // At most 255 times 256: fits 16 bits without a sign.
            let lit = (u16::from(*value) * (row_fall - fall) as u16) >> 8;
            *value = (lit as i16 + grain).clamp(0, 255) as u8;
        }
    }
}
