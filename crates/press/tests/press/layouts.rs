//! Laying pictures out: how many on which page, in which order, and that frames stay apart.

use chrono::{NaiveDate, NaiveDateTime};
use printmill_press::layout::{Picture, autolayout};
use printmill_press::photobook::{Page, TrimSize};
use proptest::prelude::*;

fn day(day: u32) -> Option<NaiveDateTime> {
    NaiveDate::from_ymd_opt(2026, 5, day).and_then(|date| date.and_hms_opt(12, 0, 0))
}

fn picture(key: &str, captured_at: Option<NaiveDateTime>) -> Picture {
    Picture { key: key.to_owned(), width: 3000, height: 2000, captured_at }
}

fn keys(pages: &[Page]) -> Vec<String> {
    let keys = |page: &Page| {
        page.placements.iter().map(|placed| placed.picture.clone()).collect::<String>()
    };
    pages.iter().map(keys).collect()
}

fn size() -> TrimSize {
    TrimSize::new(297_000, 210_000, 3_000)
}

#[test]
fn pictures_come_in_order_of_capture_and_repeat_when_they_are_few() {
    let pictures = [picture("x", None), picture("b", day(2)), picture("a", day(1))];
    assert_eq!(keys(&autolayout(&pictures, 7, size())), ["a", "b", "x", "a", "b", "x", "a"]);
    assert_eq!(keys(&autolayout(&pictures, 3, size())), ["a", "b", "x"]);
    assert_eq!(keys(&autolayout(&pictures, 2, size())), ["a", "bx"]);
    assert_eq!(keys(&autolayout(&pictures, 1, size())), ["abx"]);
    assert!(autolayout(&[], 3, size()).is_empty());
    assert!(autolayout(&pictures, 0, size()).is_empty());
}

#[test]
fn one_picture_fills_its_page_and_two_share_it_the_better_way() {
    let wide = [picture("a", day(1)), picture("b", day(2))];
    assert_eq!(autolayout(&wide, 2, size())[0].placements[0].frame, size().full());
    let tall: Vec<Picture> =
        wide.iter().map(|one| Picture { width: 2000, height: 3000, ..one.clone() }).collect();
    let page = &autolayout(&tall, 1, size())[0];
    let frames: Vec<_> = page.placements.iter().map(|placed| placed.frame).collect();
    assert_eq!((frames[0].y, frames[1].y), (0, 0), "side by side: {frames:?}");
    assert_eq!(frames[1].x + frames[1].width, 297_000);
    assert_eq!(frames[1].x - frames[0].width, 4_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_picture_has_a_place_of_its_own(
        sides in prop::collection::vec((0..9000u32, 0..9000u32), 1..60),
        pages in 1..40usize,
    ) {
        let pictures: Vec<Picture> = sides.iter().enumerate().map(|(index, (width, height))| {
            Picture { key: index.to_string(), width: *width, height: *height, captured_at: None }
        }).collect();
        let laid_out = autolayout(&pictures, pages, size());
        prop_assert_eq!(laid_out.len(), pages);
        let placed: usize = laid_out.iter().map(|page| page.placements.len()).sum();
        prop_assert_eq!(placed, pictures.len().max(pages));
        for page in &laid_out {
            let frames: Vec<_> = page.placements.iter().map(|placed| placed.frame).collect();
            for (index, one) in frames.iter().enumerate() {
                prop_assert!(size().full().contains(one) && one.width > 0 && one.height > 0);
                for other in &frames[index + 1..] {
                    let apart = one.x + one.width <= other.x || one.y + one.height <= other.y;
                    prop_assert!(apart, "{one:?} {other:?}");
                }
            }
        }
    }
}
