//! Pictures to test with, small and of every kind.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use printmill_press::specimen::{PngKind, photograph_sized, png};

/// A small baseline JPEG with EXIF and a profile.
pub(crate) fn photo(seed: u64) -> Vec<u8> {
    photograph_sized(seed, 120, 80).expect("a specimen").jpeg
}

/// A progressive JPEG without metadata, its restart interval in blocks (0 for none).
pub(crate) fn progressive(width: u16, height: u16, restart: u16) -> Vec<u8> {
    encoded(width, height, ColorType::Rgb, |encoder| {
        encoder.set_progressive(true);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        if restart > 0 {
            encoder.set_restart_interval(restart);
        }
    })
}

/// A JPEG without metadata, of one, three or four channels.
pub(crate) fn plain(width: u16, height: u16, colour: ColorType) -> Vec<u8> {
    encoded(width, height, colour, |_| {})
}

fn encoded(
    width: u16,
    height: u16,
    colour: ColorType,
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let channels = match colour {
        ColorType::Luma => 1,
        ColorType::Cmyk | ColorType::CmykAsYcck => 4,
        _ => 3,
    };
    let count = usize::from(width) * usize::from(height) * channels;
    let pixels: Vec<u8> = (0..count).map(|index| (index * 7 % 251) as u8).collect();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 85);
    set(&mut encoder);
    encoder.encode(&pixels, width, height, colour).expect("encodes");
    out
}

pub(crate) fn gray_png() -> Vec<u8> {
    png(2, 40, 30, PngKind::Gray).expect("encodes")
}

pub(crate) fn rgb_png() -> Vec<u8> {
    png(3, 40, 30, PngKind::Rgb).expect("encodes")
}

pub(crate) fn rgba_png() -> Vec<u8> {
    png(4, 40, 30, PngKind::Rgba).expect("encodes")
}

/// A palette of four colours, two bits per pixel.
pub(crate) fn palette_png() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 10, 6);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);
    let mut writer = encoder.write_header().expect("header");
    writer.write_image_data(&[0b0001_1011; 18]).expect("pixels");
    writer.finish().expect("end");
    out
}

/// An interlaced gray PNG of 5 by 3 pixels, whose pixels count up from 10 in reading order.
pub(crate) fn interlaced_png() -> Vec<u8> {
    let passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ];
    let mut rows = Vec::new();
    for (first_x, first_y, step_x, step_y) in passes {
        for y in (first_y..3u8).step_by(step_y) {
            let row: Vec<u8> = (first_x..5u8).step_by(step_x).map(|x| 10 + y * 5 + x).collect();
            if !row.is_empty() {
                rows.push(0);
                rows.extend(row);
            }
        }
    }
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflate, &rows).expect("to memory");
    png_file(5, 3, [8, 0, 1], &deflate.finish().expect("to memory"))
}

/// A PNG of these chunks, with right checksums. `kind` is bits, colour type and interlacing.
pub(crate) fn png_file(width: u32, height: u32, kind: [u8; 3], pixels: &[u8]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([kind[0], kind[1], 0, 0, kind[2]]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header.as_slice()), (b"IDAT", pixels), (b"IEND", &[])] {
        let mut checksum = flate2::Crc::new();
        checksum.update(name);
        checksum.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend(checksum.sum().to_be_bytes());
    }
    file
}

/// The header of a JPEG with this frame, and nothing behind it.
pub(crate) fn jpeg_header(marker: u8, bits: u8, width: u16, height: u16, channels: u8) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8, 0xFF, marker, 0, 8 + 3 * channels, bits];
    file.extend(height.to_be_bytes());
    file.extend(width.to_be_bytes());
    file.push(channels);
    for id in 1..=channels {
        file.extend([id, 0x11, 0]);
    }
    file
}

/// Every good picture there is here, with a name.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("photo", photo(0)),
        ("photo on its side", photo(2)),
        ("progressive", progressive(60, 44, 0)),
        ("progressive with restarts", progressive(60, 44, 4)),
        ("gray JPEG", plain(33, 17, ColorType::Luma)),
        ("CMYK JPEG", plain(33, 17, ColorType::Cmyk)),
        ("YCCK JPEG", plain(33, 17, ColorType::CmykAsYcck)),
        ("gray PNG", gray_png()),
        ("RGB PNG", rgb_png()),
        ("RGBA PNG", rgba_png()),
        ("palette PNG", palette_png()),
        ("interlaced PNG", interlaced_png()),
    ]
}
