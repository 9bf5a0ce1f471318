//! Books as PDF: their boxes, the pictures in them, and that nothing but the book decides their bytes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use chrono::{TimeZone, Utc};
use jpeg_encoder::ColorType;
use printmill_press::geometry::Rect;
use printmill_press::photobook::{Fit, Page, Placement, Progress, TrimSize};
use printmill_press::specimen::photograph_sized;
use printmill_press::{Book, RenderError, Rendered, render, reread};

use crate::pictures;

pub(crate) fn book(size: TrimSize, pages: Vec<Page>) -> Book {
    Book {
        title: "Été & <Wasser> — 夏".to_owned(),
        document_id: "uuid:0190a8d2-0000-7000-8000-000000000001".to_owned(),
        created_at: Utc.with_ymd_and_hms(2026, 3, 4, 5, 6, 7).single().expect("a time"),
        size,
        max_ppi: None,
        pages,
    }
}

pub(crate) fn page(pictures: &[(&str, Rect, Fit)]) -> Page {
    let placements = pictures
        .iter()
        .map(|(key, frame, fit)| Placement { picture: (*key).to_owned(), frame: *frame, fit: *fit })
        .collect();
    Page { placements }
}

pub(crate) fn square() -> TrimSize {
    TrimSize::new(210_000, 210_000, 3_000)
}

pub(crate) fn one_picture_book() -> Book {
    book(square(), vec![page(&[("one", square().full(), Fit::Cover)])])
}

/// The same with its picture so small that it has pixels to spare.
pub(crate) fn one_small_picture_book() -> Book {
    let frame = Rect::new(10_000, 10_000, 3_000, 3_000);
    book(square(), vec![page(&[("one", frame, Fit::Contain)])])
}

/// The PDF of a book, with what the renderer says of it.
pub(crate) fn rendered(book: &Book, picture: &dyn Fn(&str) -> Vec<u8>) -> (Vec<u8>, Rendered) {
    let mut out = Vec::new();
    let mut sources = |key: &str| Ok(picture(key));
    let made = render(book, &mut sources, &mut out, &mut |_| ControlFlow::Continue(()));
    (out, made.expect("renders"))
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[test]
fn boxes_are_right_to_the_micrometre() {
    for (width, height, bleed) in [
        (210_000, 210_000, 3_000),
        (297_000, 210_000, 4_000),
        (203_200, 254_000, 3_175),
        (90_001, 50_003, 0),
    ] {
        let size = TrimSize::new(width, height, bleed);
        let pages = vec![page(&[("one", size.full(), Fit::Cover)])];
        let (pdf, _) = rendered(&book(size, pages), &|_| pictures::photo(0));
        let boxes = reread(&pdf).expect("a whole PDF").pages[0];
        let whole = Rect::new(0, 0, width + 2 * bleed, height + 2 * bleed);
        assert_eq!((boxes.media, boxes.crop, boxes.bleed), (whole, whole, whole));
        assert_eq!(boxes.trim, Rect::new(bleed, bleed, width, height));
    }
}

#[test]
fn jpegs_go_in_byte_for_byte() {
    for jpeg in [
        pictures::photo(0),
        pictures::photo(4),
        pictures::progressive(60, 44, 4),
        pictures::plain(33, 17, ColorType::Luma),
        pictures::plain(33, 17, ColorType::Cmyk),
        pictures::plain(33, 17, ColorType::CmykAsYcck),
    ] {
        let (pdf, made) = rendered(&one_picture_book(), &|_| jpeg.clone());
        assert!(contains(&pdf, &jpeg));
        assert_eq!((made.passed_through, made.reencoded), (1, 0));
        assert_eq!(reread(&pdf).expect("a whole PDF").jpeg_images, 1);
    }
}

#[test]
fn what_a_camera_appended_stays_out() {
    let mut photo = pictures::photo(0);
    photo.extend(b"a film that the telephone took as well");
    let (pdf, _) = rendered(&one_picture_book(), &|_| photo.clone());
    assert!(!contains(&pdf, b"telephone"));
    reread(&pdf).expect("a whole PDF");
}

#[test]
fn four_inks_are_inverted_only_where_adobe_says_so() {
    let decode = b"/Decode";
    let adobe = pictures::plain(33, 17, ColorType::CmykAsYcck);
    let (pdf, _) = rendered(&one_picture_book(), &|_| adobe.clone());
    assert!(contains(&pdf, decode) && contains(&pdf, b"/DeviceCMYK"));
    // The same without its APP14 segment.
    let place = adobe.windows(2).position(|pair| pair == [0xFF, 0xEE]).expect("an APP14 segment");
    let length = usize::from(u16::from_be_bytes([adobe[place + 2], adobe[place + 3]]));
    let plain = [&adobe[..place], &adobe[place + 2 + length..]].concat();
    let (pdf, _) = rendered(&one_picture_book(), &|_| plain.clone());
    assert!(!contains(&pdf, decode));
}

#[test]
fn pngs_pass_through_where_pdf_understands_them() {
    for (png, passes) in [
        (pictures::gray_png(), true),
        (pictures::rgb_png(), true),
        (pictures::palette_png(), true),
        (pictures::rgba_png(), false),
        (pictures::interlaced_png(), false),
    ] {
        let (pdf, made) = rendered(&one_picture_book(), &|_| png.clone());
        assert_eq!(made.passed_through == 1, passes);
        reread(&pdf).expect("a whole PDF");
    }
}

/// The inflated bytes of every image stream in a PDF, by object number.
fn inflated_images(pdf: &[u8]) -> Vec<Vec<u8>> {
    let document = lopdf::Document::load_mem(pdf).expect("a PDF");
    let streams = document.objects.values().filter_map(|object| object.as_stream().ok());
    streams
        .filter(|stream| {
            stream.dict.get(b"Subtype").and_then(|kind| kind.as_name()).ok() == Some(b"Image")
        })
        .map(|stream| {
            let mut pixels = Vec::new();
            let mut inflate = flate2::read::ZlibDecoder::new(stream.content.as_slice());
            io::Read::read_to_end(&mut inflate, &mut pixels).expect("inflates");
            pixels
        })
        .collect()
}

#[test]
fn reencoded_pixels_are_the_same_pixels() {
    let (pdf, _) = rendered(&one_picture_book(), &|_| pictures::interlaced_png());
    assert_eq!(inflated_images(&pdf), [(10..25).collect::<Vec<u8>>()]);

    let png = pictures::rgba_png();
    let mut reader = png::Decoder::new(io::Cursor::new(&png)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut pixels).expect("decodes");
    let colour = pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let alpha = pixels.chunks_exact(4).map(|pixel| pixel[3]).collect();
    let (pdf, _) = rendered(&one_picture_book(), &|_| png.clone());
    let expected: Vec<Vec<u8>> = vec![colour, alpha];
    assert_eq!(inflated_images(&pdf), expected);
}

#[test]
fn a_picture_and_a_profile_are_embedded_once() {
    let frame = Rect::new(10_000, 10_000, 50_000, 50_000);
    let pages = vec![
        page(&[("a", square().full(), Fit::Cover), ("b", frame, Fit::Contain)]),
        page(&[("a", frame, Fit::Contain), ("a", square().full(), Fit::Cover)]),
    ];
    let mut opened = HashMap::new();
    let mut sources = |key: &str| {
        *opened.entry(key.to_owned()).or_insert(0) += 1;
        Ok(pictures::photo(if key == "a" { 0 } else { 1 }))
    };
    let mut out = Vec::new();
    let made =
        render(&book(square(), pages), &mut sources, &mut out, &mut |_| ControlFlow::Continue(()))
            .expect("renders");
    assert_eq!(opened, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]));
    let again = reread(&out).expect("a whole PDF");
    assert_eq!((again.images, again.drawings, again.pages.len()), (2, 4, 2));
    assert_eq!(out.windows(9).filter(|window| window == b"/ICCBased").count(), 2);
    assert_eq!(out.windows(4).filter(|window| window == b"/N 3").count(), 1);
    let places: Vec<_> =
        made.pictures.iter().map(|used| (used.key.as_str(), used.placements)).collect();
    assert_eq!(places, [("a", 3), ("b", 1)]);
}

#[test]
fn resolution_is_that_of_the_largest_print() {
    // 120 by 80 pixels in a frame of 2 inches square: seen whole at 60, filling it at 40 pixels per inch.
    let frame = Rect::new(50_800, 50_800, 50_800, 50_800);
    let ppi = |fits: &[Fit]| {
        let placed: Vec<_> = fits.iter().map(|fit| ("one", frame, *fit)).collect();
        let (_, made) = rendered(&book(square(), vec![page(&placed)]), &|_| pictures::photo(0));
        made.pictures[0].effective_ppi
    };
    assert!((ppi(&[Fit::Contain]) - 60.0).abs() < 1e-9);
    assert!((ppi(&[Fit::Cover]) - 40.0).abs() < 1e-9);
    assert!((ppi(&[Fit::Contain, Fit::Cover]) - 40.0).abs() < 1e-9);
    // A frame on the cut extends through the bleed, and so takes more pixels.
    let (_, made) = rendered(&one_picture_book(), &|_| pictures::photo(0));
    assert!((made.pictures[0].effective_ppi - 80.0 / (216.0 / 25.4)).abs() < 1e-9);
}

#[test]
fn pictures_finer_than_the_limit_are_made_smaller_but_not_below_it() {
    // 1200 by 800 pixels on 2 inches: 600 pixels per inch where they are seen whole.
    let photo = photograph_sized(2, 1200, 800).expect("a specimen").jpeg;
    let frame = Rect::new(50_800, 50_800, 50_800, 50_800);
    let made = |max_ppi, fit| {
        let pages = vec![page(&[("one", frame, fit)])];
        let book = Book { max_ppi: Some(max_ppi), ..book(square(), pages) };
        let (pdf, made) = rendered(&book, &|_| photo.clone());
        reread(&pdf).expect("a whole PDF");
        (made.pictures[0].effective_ppi, made.passed_through, contains(&pdf, &photo))
    };
    assert_eq!(made(300, Fit::Contain), (300.0, 0, false));
    assert_eq!(made(290, Fit::Contain), (300.0, 0, false));
    assert_eq!(made(150, Fit::Contain), (150.0, 0, false));
    assert_eq!(made(301, Fit::Contain), (600.0, 1, true));
    assert_eq!(made(300, Fit::Cover), (400.0, 1, true));
    let book = Book { max_ppi: Some(0), ..one_picture_book() };
    assert!(book.check().is_err());
}

#[test]
fn the_same_book_gives_the_same_bytes_and_another_does_not() {
    let picture = |_: &str| pictures::photo(0);
    let (first, made) = rendered(&one_picture_book(), &picture);
    let (second, again) = rendered(&one_picture_book(), &picture);
    assert!(first == second);
    assert_eq!(made, again);
    assert_eq!(made.bytes, first.len() as u64);
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&first).into();
    assert_eq!(made.sha256, hash);
    let (other, _) = rendered(&one_picture_book(), &|_| pictures::photo(1));
    let id = |pdf: &[u8]| {
        let place = pdf.windows(5).rposition(|window| window == b"/ID [").expect("an ID");
        pdf[place..place + 40].to_vec()
    };
    assert_ne!(id(&first), id(&other));
}

#[test]
fn the_book_says_about_itself_what_it_was_told() {
    let (pdf, _) = rendered(&one_picture_book(), &|_| pictures::photo(0));
    assert_eq!(reread(&pdf).expect("a whole PDF").title.as_deref(), Some("Été & <Wasser> — 夏"));
    for part in [
        "Été &amp; &lt;Wasser&gt; — 夏",
        "<xmp:CreateDate>2026-03-04T05:06:07Z</xmp:CreateDate>",
        "(D:20260304050607",
        "<pdf:Trapped>False</pdf:Trapped>",
        "/Trapped/False",
        "<xmpMM:DocumentID>uuid:0190a8d2-0000-7000-8000-000000000001</xmpMM:DocumentID>",
    ] {
        let squeezed: Vec<u8> = pdf.clone();
        let spaced = part.replace("/Trapped/", "/Trapped /");
        assert!(
            contains(&squeezed, part.as_bytes()) || contains(&squeezed, spaced.as_bytes()),
            "{part}"
        );
    }
    assert!(!contains(&pdf, b"GTS_PDFX"), "no claim of a standard that nobody has checked");
}

#[test]
fn progress_counts_pages_and_can_stop_the_work() {
    let pages = vec![page(&[("one", square().full(), Fit::Cover)]); 5];
    let book = book(square(), pages);
    let mut sources = |_: &str| Ok(pictures::photo(0));
    let mut seen = Vec::new();
    let error = render(&book, &mut sources, &mut io::sink(), &mut |progress: Progress| {
        seen.push((progress.page, progress.pages));
        if progress.page == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .expect_err("cancelled");
    assert_eq!(seen, [(1, 5), (2, 5), (3, 5)]);
    assert!(matches!(error, RenderError::Cancelled { page: 3 }));
}

#[test]
fn errors_name_the_picture_and_whether_to_retry() {
    let attempt = |answer: fn() -> io::Result<Vec<u8>>| {
        let mut sources = |_: &str| answer();
        render(&one_picture_book(), &mut sources, &mut io::sink(), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect_err("cannot render")
    };
    let gone = attempt(|| Err(io::Error::other("the store is down")));
    assert_eq!((gone.code(), gone.is_retryable()), ("PRINT_PICTURE_UNAVAILABLE", true));
    let bad = attempt(|| Ok(b"not a picture".to_vec()));
    assert_eq!((bad.code(), bad.is_retryable()), ("ASSET_NOT_AN_IMAGE", false));
    assert!(bad.to_string().contains("one"));

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sources = |_: &str| Ok(pictures::photo(0));
    let full =
        render(&one_picture_book(), &mut sources, &mut Full, &mut |_| ControlFlow::Continue(()))
            .expect_err("cannot write");
    assert_eq!((full.code(), full.is_retryable()), ("PRINT_OUTPUT_FAILED", true));
}

#[test]
fn books_that_cannot_be_made_are_refused() {
    let full = square().full();
    let one = |frame| vec![page(&[("one", frame, Fit::Cover)])];
    for (size, pages) in [
        (TrimSize::new(0, 210_000, 0), one(full)),
        (TrimSize::new(i64::MAX, i64::MAX, i64::MAX), one(full)),
        (square(), vec![]),
        (square(), one(Rect::new(0, 0, 0, 10))),
        (square(), one(Rect::new(0, 0, i64::MAX, 10))),
        (square(), one(Rect::new(-3_001, 0, 10, 10))),
        (square(), one(Rect::new(i64::MIN, 0, 10, 10))),
    ] {
        let error = book(size, pages).check();
        assert!(error.is_err());
    }
}

#[test]
fn a_page_without_pictures_is_white_and_counts() {
    let mut with_blank = one_picture_book();
    with_blank.pages.insert(0, page(&[]));
    let (pdf, made) =
        rendered(&with_blank, &|_| photograph_sized(1, 300, 200).expect("a photo").jpeg);
    assert_eq!(made.pages, 2);
    let reread = reread(&pdf).expect("is whole");
    assert_eq!((reread.pages.len(), reread.drawings), (2, 1));
}
