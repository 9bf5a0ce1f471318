//! The scenes there are: skies, ridges, waters and lights, in numbers relative to the height of the picture.

use super::noise::chance;

/// Red, green and blue, 0 to 255.
pub(super) type Tint = [f32; 3];

/// What is to be seen.
pub(super) struct Scene {
    /// Colours of the sky: at the top, halfway, at the horizon.
    pub(super) sky: [Tint; 3],
    /// Where the sky ends, 0 (top) to 1.
    pub(super) horizon: f32,
    pub(super) light: Light,
    /// How much of the sky is clouded, 0 to 1, and the colour of the clouds.
    pub(super) clouds: (f32, Tint),
    /// Stars in the sky.
    pub(super) stars: bool,
    /// From the farthest to the nearest.
    pub(super) ridges: Vec<Ridge>,
    pub(super) water: Option<Water>,
    /// The nearest ground, in front of the water.
    pub(super) ground: Option<Ridge>,
}

/// Sun or moon.
pub(super) struct Light {
    /// Place: across as a part of the width, down as a part of the height.
    pub(super) place: (f32, f32),
    pub(super) radius: f32,
    pub(super) tint: Tint,
    /// How far and how strongly it glows.
    pub(super) glow: (f32, f32),
}

/// A line of hills, dunes, mountains or trees.
#[derive(Clone)]
pub(super) struct Ridge {
    /// Mean height of its line, 0 (top) to 1.
    pub(super) line: f32,
    /// How much it rises and falls.
    pub(super) swing: f32,
    /// How jagged it is, 0 (dunes) to 1 (rock).
    pub(super) jagged: f32,
    /// Height of the trees on it; zero for none.
    pub(super) trees: f32,
    /// Colours at its line and at its foot.
    pub(super) tints: (Tint, Tint),
    /// How strongly its surface varies in brightness.
    pub(super) grain: f32,
    /// Snow down to this depth below its line.
    pub(super) snow: f32,
}

/// A lake or the sea.
pub(super) struct Water {
    /// Where it starts, 0 (top) to 1.
    pub(super) line: f32,
    pub(super) tint: Tint,
    /// How much of what is above it shows in it, 0 to 1.
    pub(super) mirror: f32,
    /// Height of its waves.
    pub(super) waves: f32,
}

fn ridge(line: f32, swing: f32, jagged: f32, tints: (Tint, Tint)) -> Ridge {
    Ridge { line, swing, jagged, trees: 0.0, tints, grain: 10.0, snow: 0.0 }
}

/// The scene with this seed: one of eight kinds, with light and heights of its own.
pub(super) fn scene(seed: u64) -> Scene {
    let vary = |index: u64, least: f32, most: f32| least + (most - least) * chance(seed, index);
    let mut scene = match seed % 8 {
        0 => sunset_at_sea(),
        1 => misty_mountains(),
        2 => green_hills(),
        3 => dunes(),
        4 => moonlit_lake(),
        5 => autumn_lake(),
        6 => snowy_peaks(),
        _ => beach(),
    };
    scene.light.place.0 = vary(1, 0.22, 0.78);
    scene.light.place.1 += vary(2, -0.04, 0.03);
    scene.clouds.0 *= vary(3, 0.7, 1.25);
    for (index, ridge) in scene.ridges.iter_mut().enumerate() {
        ridge.line += vary(10 + index as u64, -0.02, 0.02);
        ridge.swing *= vary(30 + index as u64, 0.8, 1.25);
    }
    // A little warmer or cooler, so that two pictures of a kind do not look alike.
    let warmth = vary(4, -9.0, 9.0);
    for tint in &mut scene.sky {
        tint[0] = (tint[0] + warmth).clamp(0.0, 255.0);
        tint[2] = (tint[2] - warmth).clamp(0.0, 255.0);
    }
    scene
}

fn light(down: f32, radius: f32, tint: Tint, glow: (f32, f32)) -> Light {
    Light { place: (0.5, down), radius, tint, glow }
}

fn sunset_at_sea() -> Scene {
    Scene {
        sky: [[52.0, 58.0, 110.0], [214.0, 106.0, 96.0], [255.0, 196.0, 112.0]],
        horizon: 0.58,
        light: light(0.48, 0.045, [255.0, 240.0, 196.0], (0.55, 0.9)),
        clouds: (0.55, [120.0, 62.0, 92.0]),
        stars: false,
        ridges: vec![ridge(0.575, 0.02, 0.4, ([126.0, 74.0, 92.0], [98.0, 58.0, 84.0]))],
        water: Some(Water { line: 0.6, tint: [40.0, 42.0, 78.0], mirror: 0.72, waves: 1.0 }),
        ground: None,
    }
}

fn misty_mountains() -> Scene {
    let layer = |line: f32, swing: f32, near: f32| {
        let mix = |far: f32, close: f32| far + (close - far) * near;
        let tint = [mix(168.0, 18.0), mix(194.0, 44.0), mix(216.0, 62.0)];
        let foot = [mix(226.0, 52.0), mix(232.0, 84.0), mix(232.0, 98.0)];
        Ridge { grain: 4.0 + 10.0 * near, ..ridge(line, swing, 0.7, (tint, foot)) }
    };
    let mut ridges = vec![
        layer(0.42, 0.13, 0.12),
        layer(0.52, 0.12, 0.3),
        layer(0.62, 0.11, 0.52),
        layer(0.74, 0.10, 0.75),
        layer(0.90, 0.07, 1.0),
    ];
    ridges[3].trees = 0.018;
    ridges[4].trees = 0.05;
    Scene {
        sky: [[118.0, 164.0, 208.0], [190.0, 212.0, 226.0], [250.0, 232.0, 206.0]],
        horizon: 0.5,
        light: light(0.26, 0.03, [255.0, 250.0, 236.0], (0.5, 0.7)),
        clouds: (0.35, [255.0, 250.0, 244.0]),
        stars: false,
        ridges,
        water: None,
        ground: None,
    }
}

fn green_hills() -> Scene {
    let mut ridges = vec![
        ridge(0.50, 0.07, 0.35, ([128.0, 160.0, 172.0], [156.0, 184.0, 178.0])),
        ridge(0.58, 0.07, 0.25, ([98.0, 148.0, 88.0], [132.0, 172.0, 96.0])),
        ridge(0.68, 0.08, 0.15, ([110.0, 158.0, 58.0], [82.0, 130.0, 48.0])),
        ridge(0.84, 0.07, 0.1, ([122.0, 166.0, 54.0], [52.0, 96.0, 32.0])),
    ];
    ridges[1].trees = 0.012;
    ridges[2].grain = 16.0;
    ridges[3].grain = 26.0;
    Scene {
        sky: [[46.0, 112.0, 196.0], [118.0, 174.0, 228.0], [214.0, 232.0, 242.0]],
        horizon: 0.56,
        light: light(0.16, 0.025, [255.0, 254.0, 240.0], (0.35, 0.55)),
        clouds: (0.75, [255.0, 255.0, 255.0]),
        stars: false,
        ridges,
        water: None,
        ground: None,
    }
}

fn dunes() -> Scene {
    let mut ridges = vec![
        ridge(0.52, 0.04, 0.05, ([216.0, 164.0, 116.0], [206.0, 142.0, 92.0])),
        ridge(0.60, 0.08, 0.0, ([232.0, 168.0, 100.0], [196.0, 122.0, 66.0])),
        ridge(0.72, 0.10, 0.0, ([236.0, 164.0, 90.0], [176.0, 100.0, 50.0])),
        ridge(0.90, 0.10, 0.0, ([222.0, 144.0, 74.0], [122.0, 64.0, 34.0])),
    ];
    for ridge in &mut ridges {
        ridge.grain = 9.0;
    }
    Scene {
        sky: [[70.0, 128.0, 186.0], [150.0, 186.0, 208.0], [248.0, 222.0, 182.0]],
        horizon: 0.54,
        light: light(0.3, 0.035, [255.0, 246.0, 214.0], (0.45, 0.75)),
        clouds: (0.12, [255.0, 240.0, 222.0]),
        stars: false,
        ridges,
        water: None,
        ground: None,
    }
}

fn moonlit_lake() -> Scene {
    let mut ridges = vec![
        ridge(0.44, 0.10, 0.8, ([40.0, 56.0, 92.0], [54.0, 72.0, 108.0])),
        ridge(0.54, 0.06, 0.5, ([20.0, 32.0, 58.0], [26.0, 40.0, 66.0])),
    ];
    ridges[1].trees = 0.02;
    let mut ground = ridge(0.97, 0.03, 0.3, ([6.0, 10.0, 20.0], [4.0, 6.0, 12.0]));
    ground.trees = 0.13;
    ground.grain = 3.0;
    Scene {
        sky: [[8.0, 14.0, 42.0], [22.0, 42.0, 88.0], [72.0, 102.0, 146.0]],
        horizon: 0.56,
        light: light(0.2, 0.032, [250.0, 246.0, 226.0], (0.3, 0.5)),
        clouds: (0.22, [78.0, 96.0, 136.0]),
        stars: true,
        ridges,
        water: Some(Water { line: 0.6, tint: [10.0, 18.0, 42.0], mirror: 0.75, waves: 0.45 }),
        ground: Some(ground),
    }
}

fn autumn_lake() -> Scene {
    let mut ridges = vec![
        ridge(0.36, 0.12, 0.75, ([134.0, 142.0, 168.0], [168.0, 170.0, 182.0])),
        ridge(0.47, 0.06, 0.4, ([168.0, 102.0, 46.0], [126.0, 78.0, 42.0])),
        ridge(0.54, 0.03, 0.3, ([206.0, 112.0, 28.0], [122.0, 56.0, 22.0])),
    ];
    ridges[1].trees = 0.02;
    ridges[1].grain = 30.0;
    ridges[2].trees = 0.045;
    ridges[2].grain = 44.0;
    Scene {
        sky: [[88.0, 140.0, 196.0], [162.0, 196.0, 222.0], [240.0, 230.0, 214.0]],
        horizon: 0.5,
        light: light(0.14, 0.022, [255.0, 250.0, 230.0], (0.4, 0.5)),
        clouds: (0.5, [252.0, 248.0, 244.0]),
        stars: false,
        ridges,
        water: Some(Water { line: 0.585, tint: [38.0, 58.0, 66.0], mirror: 0.82, waves: 0.3 }),
        ground: None,
    }
}

fn snowy_peaks() -> Scene {
    let mut ridges = vec![
        ridge(0.36, 0.20, 1.0, ([112.0, 126.0, 156.0], [146.0, 160.0, 184.0])),
        ridge(0.52, 0.14, 0.9, ([84.0, 96.0, 122.0], [112.0, 126.0, 146.0])),
        ridge(0.72, 0.06, 0.5, ([40.0, 66.0, 62.0], [58.0, 84.0, 76.0])),
        ridge(0.88, 0.05, 0.1, ([236.0, 242.0, 250.0], [196.0, 212.0, 236.0])),
    ];
    ridges[0].snow = 0.2;
    ridges[1].snow = 0.09;
    ridges[0].grain = 26.0;
    ridges[1].grain = 26.0;
    ridges[2].trees = 0.04;
    ridges[3].grain = 7.0;
    Scene {
        sky: [[28.0, 84.0, 168.0], [92.0, 152.0, 216.0], [206.0, 226.0, 242.0]],
        horizon: 0.52,
        light: light(0.12, 0.024, [255.0, 255.0, 246.0], (0.35, 0.55)),
        clouds: (0.3, [255.0, 255.0, 255.0]),
        stars: false,
        ridges,
        water: None,
        ground: None,
    }
}

fn beach() -> Scene {
    let mut island = ridge(0.465, 0.05, 0.5, ([74.0, 118.0, 96.0], [92.0, 138.0, 108.0]));
    island.trees = 0.008;
    let mut sand = ridge(0.84, 0.05, 0.0, ([252.0, 238.0, 206.0], [226.0, 196.0, 148.0]));
    sand.grain = 12.0;
    Scene {
        sky: [[30.0, 118.0, 206.0], [104.0, 180.0, 232.0], [222.0, 240.0, 246.0]],
        horizon: 0.47,
        light: light(0.14, 0.026, [255.0, 255.0, 240.0], (0.3, 0.5)),
        clouds: (0.45, [255.0, 255.0, 255.0]),
        stars: false,
        ridges: vec![island],
        water: Some(Water { line: 0.48, tint: [16.0, 164.0, 178.0], mirror: 0.32, waves: 0.7 }),
        ground: Some(sand),
    }
}
