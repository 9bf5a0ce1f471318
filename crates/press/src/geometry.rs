//! Lengths in micrometres, rectangles, and the eight EXIF orientations as transformation matrices.

/// Micrometres in one inch.
pub const MICROMETRES_PER_INCH: i64 = 25_400;

/// A length in micrometres (thousandths of a millimetre), as the points (1/72 inch) that PDF counts in.
pub fn points(micrometres: i64) -> f64 {
    micrometres as f64 * 72.0 / MICROMETRES_PER_INCH as f64
}

/// A length in points, rounded to the nearest micrometre.
pub fn micrometres(points: f64) -> i64 {
    (points * MICROMETRES_PER_INCH as f64 / 72.0).round() as i64
}

/// A rectangle in micrometres. What the origin is and where y grows, the owner says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Distance of the left edge from the origin.
    pub x: i64,
    /// Distance of the first horizontal edge from the origin.
    pub y: i64,
    /// Width, above zero in a valid rectangle.
    pub width: i64,
    /// Height, above zero in a valid rectangle.
    pub height: i64,
}

impl Rect {
    /// A rectangle from its corner and its size.
    pub fn new(x: i64, y: i64, width: i64, height: i64) -> Self {
        Self { x, y, width, height }
    }

    /// Whether `inner` lies within this rectangle, edges included.
    pub fn contains(&self, inner: &Rect) -> bool {
        inner.x >= self.x
            && inner.y >= self.y
            && inner.x + inner.width <= self.x + self.width
            && inner.y + inner.height <= self.y + self.height
    }
}

/// How stored pixels must be turned to be seen upright: the EXIF `Orientation` tag, 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Orientation(u8);

impl Default for Orientation {
    fn default() -> Self {
        Self::UPRIGHT
    }
}

impl Orientation {
    /// Stored as seen.
    pub const UPRIGHT: Orientation = Orientation(1);

    /// The orientation with this EXIF number; `None` outside 1 to 8.
    pub fn from_exif(value: u32) -> Option<Self> {
        u8::try_from(value).ok().filter(|number| (1..=8).contains(number)).map(Orientation)
    }

    /// The EXIF number, 1 to 8.
    pub fn exif(self) -> u8 {
        self.0.clamp(1, 8)
    }

    /// Whether the picture is seen with width and height exchanged (5 to 8).
    pub fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// Width and height as seen, given those stored.
    pub fn seen(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// The PDF matrix `[a b c d e f]` that draws the stored picture (a unit square, its first row on top) upright into
    /// the rectangle with its lower left corner at `(x, y)`.
    pub fn matrix(self, x: f64, y: f64, width: f64, height: f64) -> [f64; 6] {
        // Horizontal and vertical place in the seen unit square as (factor of u, factor of v, constant).
        let ((su, sv, s0), (tu, tv, t0)) = match self.exif() {
            2 => ((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
            3 => ((-1.0, 0.0, 1.0), (0.0, -1.0, 1.0)),
            4 => ((1.0, 0.0, 0.0), (0.0, -1.0, 1.0)),
            5 => ((0.0, -1.0, 1.0), (-1.0, 0.0, 1.0)),
            6 => ((0.0, 1.0, 0.0), (-1.0, 0.0, 1.0)),
            7 => ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
            8 => ((0.0, -1.0, 1.0), (1.0, 0.0, 0.0)),
            _ => ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        };
        [width * su, height * tu, width * sv, height * tv, x + width * s0, y + height * t0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where EXIF says that the stored pixel in `column` and `row` is seen, for a stored picture of 3 by 2.
    fn seen_place(orientation: u8, column: usize, row: usize) -> (usize, usize) {
        let (last_column, last_row) = (2, 1);
        match orientation {
            1 => (column, row),
            2 => (last_column - column, row),
            3 => (last_column - column, last_row - row),
            4 => (column, last_row - row),
            5 => (row, column),
            6 => (last_row - row, column),
            7 => (last_row - row, last_column - column),
            8 => (row, last_column - column),
            other => panic!("no orientation {other}"),
        }
    }

    #[test]
    fn every_orientation_puts_every_pixel_where_exif_says() {
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number).expect("1 to 8");
            let (seen_width, seen_height) = orientation.seen(3, 2);
            let [a, b, c, d, e, f] =
                orientation.matrix(10.0, 20.0, seen_width as f64, seen_height as f64);
            for (column, row) in (0..3).flat_map(|column| (0..2).map(move |row| (column, row))) {
                let (u, v) = ((column as f64 + 0.5) / 3.0, 1.0 - (row as f64 + 0.5) / 2.0);
                let (x, y) = (a * u + c * v + e - 10.0, b * u + d * v + f - 20.0);
                let drawn = (x.floor() as usize, (seen_height as f64 - y).floor() as usize);
                let wanted = seen_place(number as u8, column, row);
                assert_eq!(drawn, wanted, "orientation {number}, pixel {column},{row}");
            }
        }
        assert_eq!(Orientation::from_exif(0), None);
        assert_eq!(Orientation::from_exif(9), None);
    }

    #[test]
    fn micrometres_survive_the_way_through_points() {
        for length in [0, 1, 3_000, 210_000, 297_000, 1_999_999] {
            assert_eq!(micrometres(points(length)), length);
        }
    }
}
