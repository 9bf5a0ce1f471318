//! Orientation and capture time from an EXIF block; what cannot be read there is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{NaiveDate, NaiveDateTime};
use exif::{Exif, In, Reader, Tag, Value};

use crate::geometry::Orientation;

#[derive(Debug, Clone, Default)]
pub(crate) struct ExifFacts {
    pub(crate) orientation: Orientation,
    pub(crate) captured_at: Option<NaiveDateTime>,
}

/// Reads the TIFF structure of an EXIF block. A broken block never makes a picture unusable.
pub(crate) fn facts(tiff: Vec<u8>) -> ExifFacts {
    let parsed = catch_unwind(AssertUnwindSafe(|| Reader::new().read_raw(tiff)));
    let Ok(Ok(exif)) = parsed else { return ExifFacts::default() };
    let orientation = exif
        .get_field(Tag::Orientation, In::PRIMARY)
        .and_then(|field| field.value.get_uint(0))
        .and_then(Orientation::from_exif)
        .unwrap_or_default();
    let captured_at = time(&exif, Tag::DateTimeOriginal).or_else(|| time(&exif, Tag::DateTime));
    ExifFacts { orientation, captured_at }
}

fn time(exif: &Exif, tag: Tag) -> Option<NaiveDateTime> {
    let Value::Ascii(texts) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    let time = exif::DateTime::from_ascii(texts.first()?).ok()?;
    NaiveDate::from_ymd_opt(time.year.into(), time.month.into(), time.day.into())?.and_hms_opt(
        time.hour.into(),
        time.minute.into(),
        time.second.into(),
    )
}
