//! Why a store could not be opened.

use printmill_backend::error::{BackendError, Fault};
use std::io;
use std::path::{Path, PathBuf};

/// A store that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The scheme is one of object stores that this build cannot reach.
    #[error("{scheme}:// stores are not part of this build; the only scheme is file://")]
    NotCompiled {
        /// The scheme.
        scheme: String,
    },
    /// The scheme is not one of object stores.
    #[error("{scheme}:// is no store of blobs; the only scheme is file://")]
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

    fn fault(&self) -> Fault {
        match self {
            Self::ReadOnly { .. } => Fault::ReadOnly,
            Self::Full { .. } => Fault::Full,
            Self::Unusable { .. } => Fault::Unavailable,
            Self::NotCompiled { .. }
            | Self::UnknownScheme { .. }
            | Self::NoPath { .. }
            | Self::NotADirectory { .. } => Fault::Rejected,
        }
    }
}

/// The backend's failure says what happened itself; its source is what the system said.
impl From<ObjectsError> for BackendError {
    fn from(error: ObjectsError) -> Self {
        let mut failure =
            Self::new(error.fault(), "disk", "open a store of blobs", error.to_string());
        failure.source = match error {
            ObjectsError::ReadOnly { source, .. } | ObjectsError::Full { source, .. } => {
                Some(source.into())
            }
            ObjectsError::Unusable { source, .. } => Some(source),
            _ => None,
        };
        failure
    }
}
