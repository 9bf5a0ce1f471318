//! Pages and pixels: looks into pictures that strangers upload, and turns them into print-ready PDF.
//!
//! The crate is pure: it knows no storage, no queue and no clock. Bytes come in through [`std::io::Read`] or
//! [`photobook::Sources`], and go out through [`std::io::Write`]; the same input gives the same bytes, always.
//!
//! - [`mod@inspect`] tells what a file really is, and whether it is whole.
//! - [`mod@layout`] puts pictures on the pages of a book.
//! - [`mod@photobook`] writes the book as a PDF, one object at a time.
//! - [`mod@reread`] reads a PDF as another program would, and checks it.
//! - [`mod@specimen`] makes photographs to try all this with.

pub mod geometry;
pub mod inspect;
pub mod layout;
mod pdf;
pub mod photobook;
pub mod reread;
pub mod specimen;

pub use inspect::{InspectError, Inspection, Limits, inspect, needs_whole_pixels};
pub use photobook::{Book, RENDERER_VERSION, RenderError, Rendered, Sources, render};
pub use reread::{Reread, RereadError, reread};
