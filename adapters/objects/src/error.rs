//! Why a store could not be opened.

use printmill_backend::error::{BackendError, Fault};
use std::io;
use std::path::{Path, PathBuf};

/// A store that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The scheme is one of object stores that this build cannot reach.
    #[error("{scheme}:// stores are not part of this build{}", how(scheme))]
    NotCompiled {
        /// The scheme.
        scheme: String,
    },
    /// The scheme is not one of object stores.
    #[error("{scheme}:// is no store of blobs; there are file://, s3://, gs:// and az://")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// The address names no path of this machine.
    #[error("'{url}' names no path: write file:///absolute/path, file://./relative/path or a path")]
    NoPath {
        /// The address.
        url: String,
    },
    /// A part of the address is wrong.
    #[error("the {part} is wrong: {why}")]
    Address {
        /// Which part.
        part: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// There is something else at the path.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory may not be made or written to.
    #[error("{} may not be written to", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no space left.
    #[error("there is no space left for {}", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory does not work.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be reached, or refuses to work with these settings.
    #[error("{what}: {remedy}")]
    Refused {
        /// Which kind of store: `s3`.
        store: &'static str,
        /// What is the matter.
        what: String,
        /// Which setting to change, and how.
        remedy: String,
        /// Whether the same settings can work later.
        passing: bool,
        /// What the store said.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

fn how(scheme: &str) -> String {
    let feature = match scheme {
        "s3" => "s3",
        "gs" => "gcs",
        "az" => "azure",
        _ => return "; there are file://, s3://, gs:// and az://".into(),
    };
    format!("; build it with --features {feature}")
}

impl ObjectsError {
    /// What the system's refusal to use a directory means.
    pub(crate) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Self::NotADirectory { path }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            _ => Self::Unusable { path, source: source.into() },
        }
    }

    /// A setting of an address that is wrong.
    #[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azure")), expect(dead_code))]
    pub(crate) fn setting(name: &str, why: impl Into<String>) -> Self {
        Self::Address { part: format!("setting '{name}'"), why: why.into() }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::ReadOnly { .. } => Fault::ReadOnly,
            Self::Full { .. } => Fault::Full,
            Self::Unusable { .. } | Self::Refused { passing: true, .. } => Fault::Unavailable,
            Self::NotCompiled { .. }
            | Self::UnknownScheme { .. }
            | Self::NoPath { .. }
            | Self::Address { .. }
            | Self::NotADirectory { .. }
            | Self::Refused { passing: false, .. } => Fault::Rejected,
        }
    }

    fn backend(&self) -> &'static str {
        match self {
            Self::Refused { store, .. } => store,
            Self::NotCompiled { .. } | Self::UnknownScheme { .. } | Self::Address { .. } => "blobs",
            _ => "disk",
        }
    }
}

/// The backend's failure says what happened itself; its source is what the system said.
impl From<ObjectsError> for BackendError {
    fn from(error: ObjectsError) -> Self {
        let (fault, backend) = (error.fault(), error.backend());
        let mut failure = Self::new(fault, backend, "open a store of blobs", error.to_string());
        failure.source = match error {
            ObjectsError::ReadOnly { source, .. } | ObjectsError::Full { source, .. } => {
                Some(source.into())
            }
            ObjectsError::Unusable { source, .. } => Some(source),
            ObjectsError::Refused { source, .. } => source,
            _ => None,
        };
        failure
    }
}
