//! What inspection finds out about good pictures, and that it finds what is wrong with others.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use jpeg_encoder::ColorType;
use printmill_press::inspect::{Colour, Format};
use printmill_press::specimen::photograph_sized;
use printmill_press::{InspectError, Inspection, Limits, inspect};

use crate::pictures;

fn look(bytes: &[u8]) -> Result<Inspection, InspectError> {
    inspect(&mut Cursor::new(bytes), &Limits::default())
}

fn code(bytes: &[u8]) -> &'static str {
    look(bytes).expect_err("must be refused").code()
}

#[test]
fn photographs_tell_their_size_orientation_and_time() {
    for seed in 0..8 {
        let made = photograph_sized(seed, 120, 80).expect("a specimen");
        let found = look(&made.jpeg).expect("a good picture");
        assert_eq!((found.width, found.height), (120, 80));
        assert_eq!(found.seen(), (made.seen_width, made.seen_height));
        assert_eq!(found.orientation, made.orientation, "seed {seed}");
        assert_eq!(found.captured_at, Some(made.captured_at));
        assert_eq!(found.media_type(), "image/jpeg");
        assert_eq!((found.colour, found.bits, found.alpha), (Colour::Rgb, 8, false));
        assert!(found.has_icc && found.passes_through && found.decoded && !found.progressive);
        assert_eq!(found.picture_bytes, made.jpeg.len() as u64);
    }
}

#[test]
fn every_kind_of_picture_is_told_apart() {
    let kind = |bytes: &[u8]| {
        let found = look(bytes).expect("a good picture");
        (found.format, found.colour, found.bits, found.alpha, found.passes_through)
    };
    let (jpeg, png) = (Format::Jpeg, Format::Png);
    let plain = |colour| pictures::plain(20, 20, colour);
    assert_eq!(kind(&plain(ColorType::Luma)), (jpeg, Colour::Gray, 8, false, true));
    assert_eq!(kind(&plain(ColorType::Cmyk)), (jpeg, Colour::Cmyk, 8, false, true));
    assert_eq!(kind(&plain(ColorType::CmykAsYcck)), (jpeg, Colour::Cmyk, 8, false, true));
    assert_eq!(kind(&pictures::gray_png()), (png, Colour::Gray, 8, false, true));
    assert_eq!(kind(&pictures::rgb_png()), (png, Colour::Rgb, 8, false, true));
    assert_eq!(kind(&pictures::rgba_png()), (png, Colour::Rgb, 8, true, false));
    assert_eq!(kind(&pictures::palette_png()), (png, Colour::Rgb, 2, false, true));
    assert_eq!(kind(&pictures::interlaced_png()), (png, Colour::Gray, 8, false, false));
    assert!(look(&pictures::progressive(50, 40, 3)).expect("good").progressive);
}

#[test]
fn what_is_no_picture_is_refused() {
    for bytes in [&b""[..], b"\xFF\xD8", b"GIF89a", b"%PDF-1.7", b"<svg>", b"RIFF....WEBP"] {
        assert_eq!(code(bytes), "ASSET_NOT_AN_IMAGE");
    }
}

#[test]
fn every_truncation_is_found() {
    for (name, whole) in pictures::all() {
        for length in 12..whole.len() {
            let found = look(&whole[..length]).expect_err(name);
            assert_eq!(found.code(), "ASSET_TRUNCATED", "{name} cut to {length}");
        }
    }
}

#[test]
fn a_jpeg_cut_short_and_closed_again_is_found() {
    for whole in [pictures::photo(1), pictures::progressive(160, 120, 0)] {
        let mut cut = whole[..whole.len() - whole.len() / 4].to_vec();
        cut.extend([0xFF, 0xD9]);
        assert_eq!(code(&cut), "ASSET_DAMAGED");
    }
}

#[test]
fn what_a_camera_appends_is_not_counted() {
    let photo = pictures::photo(1);
    let mut longer = photo.clone();
    longer.extend(b"a film that the telephone took as well");
    assert_eq!(look(&longer).expect("a good picture").picture_bytes, photo.len() as u64);
}

#[test]
fn a_wrong_checksum_or_missing_pixels_are_found_in_a_png() {
    let mut wrong = pictures::rgb_png();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    assert_eq!(code(&wrong), "ASSET_DAMAGED");
    let deflated = |bytes: &[u8]| {
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut deflate, bytes).expect("to memory");
        deflate.finish().expect("to memory")
    };
    let gray = |pixels: &[u8]| pictures::png_file(3, 2, [8, 0, 0], &deflated(pixels));
    assert!(look(&gray(&[0, 1, 2, 3, 0, 4, 5, 6])).is_ok());
    assert_eq!(code(&gray(&[0, 1, 2, 3, 0, 4, 5])), "ASSET_DAMAGED");
    assert_eq!(code(&gray(&[0, 1, 2, 3, 0, 4, 5, 6, 0])), "ASSET_DAMAGED");
    assert_eq!(code(&gray(&[0, 1, 2, 3, 9, 4, 5, 6])), "ASSET_DAMAGED");
}

#[test]
fn a_bomb_is_refused_from_its_header_alone() {
    let png = pictures::png_file(64_000, 64_000, [8, 2, 0], &[]);
    assert_eq!(code(&png[..33]), "ASSET_TOO_MANY_PIXELS");
    let jpeg = pictures::jpeg_header(0xC0, 8, 64_000, 64_000, 3);
    assert_eq!(code(&jpeg), "ASSET_TOO_MANY_PIXELS");
    let message = look(&jpeg).expect_err("refused").to_string();
    assert!(message.contains("64000 x 64000"), "{message}");
}

#[test]
fn pixels_that_are_only_promised_are_found_without_decoding() {
    // 13,000 by 13,000 is within the limit, and too large to decode.
    let mut file = pictures::jpeg_header(0xC0, 8, 13_000, 13_000, 3);
    file.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    file.extend([0x55; 1000]);
    file.extend([0xFF, 0xD9]);
    assert_eq!(code(&file), "ASSET_DAMAGED");
}

#[test]
fn rare_kinds_of_jpeg_are_refused_by_name() {
    for (marker, bits, channels) in [(0xC3, 8, 3), (0xC9, 8, 3), (0xC1, 12, 3), (0xC0, 8, 2)] {
        let header = pictures::jpeg_header(marker, bits, 40, 30, channels);
        assert_eq!(code(&header), "ASSET_UNSUPPORTED");
    }
}

#[test]
fn too_many_bytes_are_refused_unread() {
    let limits = Limits { max_bytes: 100, ..Limits::default() };
    let error = inspect(&mut Cursor::new(pictures::photo(0)), &limits).expect_err("too long");
    assert_eq!(error.code(), "ASSET_TOO_MANY_BYTES");
}

#[test]
fn trouble_with_the_reader_is_not_blamed_on_the_picture() {
    struct Broken(Cursor<Vec<u8>>);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.position() > 100 {
                return Err(io::Error::other("the disk is gone"));
            }
            let count = buffer.len().min(64);
            self.0.read(&mut buffer[..count])
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut broken = Broken(Cursor::new(pictures::photo(0)));
    let error = inspect(&mut broken, &Limits::default()).expect_err("unreadable");
    assert_eq!(error.code(), "ASSET_UNREADABLE");
    assert!(error.is_retryable());
}

#[test]
fn a_reserved_marker_is_damage() {
    let mut photo = photograph_sized(3, 64, 48).expect("a photo").jpeg;
    assert_eq!(&photo[2..4], &[0xFF, 0xE0], "application data comes first");
    // One flipped bit makes it JPG0, at which decoders stop.
    photo[3] = 0xF0;
    assert_eq!(code(&photo), "ASSET_DAMAGED");
}

#[test]
fn what_decoders_refuse_is_refused_before() {
    let photo = photograph_sized(3, 64, 48).expect("a photo").jpeg;
    let mut uneven = photo.clone();
    let frame = uneven.windows(2).position(|two| two == [0xFF, 0xC0]).expect("a frame");
    // The second channel gets two samples where the first has three.
    uneven[frame + 11] = 0x31;
    uneven[frame + 14] = 0x21;
    assert_eq!(code(&uneven), "ASSET_UNSUPPORTED");
    let mut restarted = photo;
    restarted.splice(2..2, [0xFF, 0xD0]);
    assert_eq!(code(&restarted), "ASSET_DAMAGED");
}
