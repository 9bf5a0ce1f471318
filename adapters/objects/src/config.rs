//! What an address says: which directory.

use crate::error::ObjectsError;
use std::path::PathBuf;

/// Schemes of object stores that are no directories. Addresses with them are meant for this
/// adapter, but it does not speak their protocols.
const ELSEWHERE: [&str; 10] =
    ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https"];

/// Where blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsConfig {
    /// The directory; a relative one starts where the process was started.
    pub directory: PathBuf,
}

impl ObjectsConfig {
    /// Reads an address: `file:///absolute/path`, `file://./relative/path`, or a plain path.
    ///
    /// The path is taken as it is written: nothing in it is percent-decoded.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        let path = match url.split_once("://") {
            Some(("file", path)) => path,
            Some((scheme, _)) if ELSEWHERE.contains(&scheme) => {
                return Err(ObjectsError::NotCompiled { scheme: scheme.into() });
            }
            Some((scheme, _)) => {
                return Err(ObjectsError::UnknownScheme { scheme: scheme.into() });
            }
            None => url,
        };
        let directory = PathBuf::from(path);
        let with_host = path.len() != url.len()
            && !(directory.is_absolute() || path.starts_with("./") || path.starts_with("../"));
        if path.trim().is_empty() || with_host || path.starts_with("file:") {
            return Err(ObjectsError::NoPath { url: url.into() });
        }
        Ok(Self { directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(url: &str) -> Option<String> {
        let config = ObjectsConfig::from_url(url).ok()?;
        Some(config.directory.to_string_lossy().into_owned())
    }

    #[test]
    fn an_address_is_a_file_url_or_a_path() {
        assert_eq!(directory("file:///var/lib/blobs").as_deref(), Some("/var/lib/blobs"));
        assert_eq!(directory("file://./data/blobs").as_deref(), Some("./data/blobs"));
        assert_eq!(directory("file://../blobs").as_deref(), Some("../blobs"));
        assert_eq!(directory("data/blobs").as_deref(), Some("data/blobs"));
        assert_eq!(directory("file:///with space/%20").as_deref(), Some("/with space/%20"));
    }

    #[test]
    fn an_address_without_a_path_of_this_machine_is_refused() {
        for url in ["", "  ", "file://", "file://host/blobs", "file:/var/lib/blobs"] {
            let refused = ObjectsConfig::from_url(url);
            assert!(matches!(refused, Err(ObjectsError::NoPath { .. })), "{url}: {refused:?}");
        }
    }

    #[test]
    fn other_schemes_are_told_apart() {
        let refused = ObjectsConfig::from_url("s3://bucket");
        assert!(matches!(refused, Err(ObjectsError::NotCompiled { .. })), "{refused:?}");
        let refused = ObjectsConfig::from_url("ftp://host/blobs");
        assert!(matches!(refused, Err(ObjectsError::UnknownScheme { .. })), "{refused:?}");
    }
}
