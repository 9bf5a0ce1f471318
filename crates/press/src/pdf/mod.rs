//! Writes PDF: the file around the objects, pictures as image objects, profiles and metadata.

pub(crate) mod file;
pub(crate) mod image;
mod jpeg_smaller;
pub(crate) mod metadata;
mod png_rows;
pub(crate) mod profile;
