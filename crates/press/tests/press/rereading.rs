//! That reading a PDF again finds what is wrong with it.

use printmill_press::photobook::{Fit, TrimSize};
use printmill_press::{RereadError, reread};

use crate::books::{book, one_picture_book, page, rendered};
use crate::pictures;

fn replaced(pdf: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "offsets must stay");
    let place = pdf.windows(from.len()).position(|window| window == from).expect("is there");
    let mut pdf = pdf.to_vec();
    pdf[place..place + to.len()].copy_from_slice(to);
    pdf
}

fn good() -> Vec<u8> {
    rendered(&one_picture_book(), &|_| pictures::photo(0)).0
}

#[test]
fn a_whole_book_is_read_again_as_it_was_written() {
    let size = TrimSize::new(148_000, 210_000, 5_000);
    let pages = (0..6)
        .map(|number| page(&[(["a", "b", "c"][number % 3], size.full(), Fit::Cover)]))
        .collect();
    let (pdf, made) = rendered(&book(size, pages), &|key| match key {
        "a" => pictures::photo(1),
        "b" => pictures::rgba_png(),
        _ => pictures::palette_png(),
    });
    let again = reread(&pdf).expect("a whole PDF");
    assert_eq!((again.pages.len(), again.images, again.jpeg_images), (made.pages, 3, 1));
    assert_eq!(again.version, "1.6");
    assert!(again.pages.iter().all(|boxes| boxes.trim.width == 148_000));
}

#[test]
fn a_pdf_cut_short_is_not_whole() {
    let pdf = good();
    for length in [0, 10, pdf.len() / 2, pdf.len() - 40] {
        assert!(reread(&pdf[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn boxes_that_are_not_nested_are_found() {
    let pdf = replaced(&good(), b"/TrimBox [8.5", b"/TrimBox [0.0");
    // The trim box now starts on the edge of the bleed, which is allowed; beyond it is not.
    assert!(reread(&pdf).is_ok());
    let pdf = replaced(&good(), b"/TrimBox [8.5", b"/TrimBox [-.5");
    assert!(matches!(reread(&pdf), Err(RereadError::Page { page: 1, .. })), "{:?}", reread(&pdf));
}

#[test]
fn a_page_that_draws_nothing_is_found() {
    let pdf = replaced(&good(), b" Do\n", b" gs\n");
    let error = reread(&pdf).expect_err("draws nothing");
    assert_eq!(error.code(), "PDF_PAGE_DAMAGED");
}

#[test]
fn an_image_that_is_not_what_the_pdf_says_is_found() {
    let pdf = replaced(&good(), b"/Width 120", b"/Width 121");
    assert_eq!(reread(&pdf).expect_err("too wide").code(), "PDF_IMAGE_DAMAGED");
    let pdf = replaced(&good(), b"\xFF\xD9\nendstream", b"\xFF\x00\nendstream");
    assert_eq!(reread(&pdf).expect_err("no end").code(), "PDF_IMAGE_DAMAGED");
    let (png, _) = rendered(&one_picture_book(), &|_| pictures::rgb_png());
    let pdf = replaced(&png, b"/Height 30", b"/Height 31");
    assert_eq!(reread(&pdf).expect_err("too high").code(), "PDF_IMAGE_DAMAGED");
    let pdf = replaced(&png, b"/Columns 40", b"/Columns 41");
    assert_eq!(reread(&pdf).expect_err("predictor").code(), "PDF_IMAGE_DAMAGED");
}
