//! Good files, damaged at random: whatever comes of it, it must not be a panic, and never a wrong book.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use printmill_press::{Limits, inspect, render, reread};
use proptest::prelude::*;

use crate::books::{one_picture_book, rendered};
use crate::pictures;

fn good_files() -> &'static [(&'static str, Vec<u8>)] {
    static FILES: OnceLock<Vec<(&'static str, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(pictures::all)
}

#[derive(Debug, Clone)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Cut { at: prop::sample::Index },
    Overwrite { at: prop::sample::Index, bytes: Vec<u8> },
    Repeat { at: prop::sample::Index, length: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        1 => at().prop_map(|at| Damage::Cut { at }),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Damage::Overwrite { at, bytes }),
        1 => (at(), 1..400usize).prop_map(|(at, length)| Damage::Repeat { at, length }),
    ]
}

fn damaged(file: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut file = file.to_vec();
    for damage in damages {
        if file.is_empty() {
            break;
        }
        match damage {
            Damage::Flip { at, bit } => {
                let at = at.index(file.len());
                file[at] ^= 1 << bit;
            }
            Damage::Cut { at } => {
                let at = at.index(file.len());
                file.truncate(at);
            }
            Damage::Overwrite { at, bytes } => {
                let at = at.index(file.len());
                let end = (at + bytes.len()).min(file.len());
                file[at..end].copy_from_slice(&bytes[..end - at]);
            }
            Damage::Repeat { at, length } => {
                let at = at.index(file.len());
                let end = (at + length).min(file.len());
                let part = file[at..end].to_vec();
                file.splice(at..at, part);
            }
        }
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_pictures_give_an_answer(
        which in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let (_, file) = which.get(good_files());
        let file = damaged(file, &damages);
        let seen = inspect(&mut Cursor::new(&file), &Limits::default());
        if let Err(error) = &seen {
            prop_assert!(error.code().starts_with("ASSET_"));
            prop_assert!(error.to_string().ends_with('.'));
        }
        let book = one_picture_book();
        let mut sources = |_: &str| Ok(file.clone());
        let mut out = Vec::new();
        let made = render(&book, &mut sources, &mut out, &mut |_| ControlFlow::Continue(()));
        let coarse = printmill_press::Book { max_ppi: Some(72), ..crate::books::one_small_picture_book() };
        let made_coarse =
            render(&coarse, &mut sources, &mut std::io::sink(), &mut |_| ControlFlow::Continue(()));
        prop_assert_eq!(made.is_ok(), made_coarse.is_ok());
        if seen.is_ok() {
            prop_assert!(made.is_ok(), "{made:?}");
            prop_assert!(reread(&out).is_ok(), "{:?}", reread(&out));
        }
    }

    #[test]
    fn damaged_books_give_an_answer(damages in prop::collection::vec(damage(), 1..6)) {
        static BOOK: OnceLock<Vec<u8>> = OnceLock::new();
        let good = BOOK.get_or_init(|| rendered(&one_picture_book(), &|_| pictures::rgba_png()).0);
        let _ = reread(&damaged(good, &damages));
    }
}

#[test]
fn bytes_that_mean_nothing_give_an_answer() {
    for start in [&b"\xFF\xD8\xFF"[..], b"\x89PNG\r\n\x1a\n"] {
        for fill in 0..=255u8 {
            let file = [start, &[fill; 500]].concat();
            assert!(inspect(&mut Cursor::new(file), &Limits::default()).is_err());
        }
    }
}
