//! What can be wrong with a picture, each with a stable code and a sentence that says what to do.

/// Why a file cannot be used as a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The first bytes are those of no picture format.
    #[error("This is not a picture; upload a JPEG or PNG file.")]
    NotAnImage,
    /// The file stops before the picture does.
    #[error(
        "The {format} file ends too early (after {bytes} bytes); upload it again, or export it anew."
    )]
    Truncated {
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// How many bytes there were.
        bytes: u64,
    },
    /// More pixels than the limits allow.
    #[error(
        "The picture has {width} x {height} pixels, more than the {max_pixels} allowed; upload a smaller version."
    )]
    TooManyPixels {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The limit that it exceeds.
        max_pixels: u64,
    },
    /// More bytes than the limits allow.
    #[error(
        "The file has {bytes} bytes, more than the {max_bytes} allowed; upload a smaller version."
    )]
    TooManyBytes {
        /// Size of the file.
        bytes: u64,
        /// The limit that it exceeds.
        max_bytes: u64,
    },
    /// The content contradicts itself.
    #[error("The {format} file is damaged ({what}); upload it again, or export it anew.")]
    Damaged {
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// What does not add up.
        what: String,
    },
    /// A picture, but of a kind that cannot be printed.
    #[error(
        "This kind of picture cannot be used ({what}); save it as an ordinary 8-bit JPEG or PNG."
    )]
    Unsupported {
        /// Which kind it is.
        what: String,
    },
    /// The file could not be read, which says nothing about the picture.
    #[error("The file could not be read; try again.")]
    Unreadable {
        /// What the reader said.
        #[source]
        source: std::io::Error,
    },
}

impl InspectError {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnImage => "ASSET_NOT_AN_IMAGE",
            Self::Truncated { .. } => "ASSET_TRUNCATED",
            Self::TooManyPixels { .. } => "ASSET_TOO_MANY_PIXELS",
            Self::TooManyBytes { .. } => "ASSET_TOO_MANY_BYTES",
            Self::Damaged { .. } => "ASSET_DAMAGED",
            Self::Unsupported { .. } => "ASSET_UNSUPPORTED",
            Self::Unreadable { .. } => "ASSET_UNREADABLE",
        }
    }

    /// Whether the same call may succeed later: true for trouble with the reader, false for trouble with the picture.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }

    pub(crate) fn damaged(format: &'static str, what: impl Into<String>) -> Self {
        Self::Damaged { format, what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
