//! What an address says: which store, where.

use crate::error::ObjectsError;
use std::path::PathBuf;

/// Schemes of object stores that others write differently, or that this crate does not speak.
const ELSEWHERE: [&str; 11] =
    ["s3", "gs", "az", "s3a", "gcs", "azure", "adl", "abfs", "abfss", "http", "https"];

/// Where blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectsConfig {
    /// In a directory of this machine.
    Disk(DiskConfig),
    /// In a bucket of an S3-compatible store.
    #[cfg(feature = "s3")]
    S3(Box<crate::s3::S3Config>),
    /// In a bucket of Google Cloud Storage.
    #[cfg(feature = "gcs")]
    Gcs(Box<crate::gcs::GcsConfig>),
    /// In a container of Azure Blob Storage.
    #[cfg(feature = "azure")]
    Azure(Box<crate::azure::AzureConfig>),
}

/// Blobs in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// The directory; a relative one starts where the process was started.
    pub directory: PathBuf,
}

impl ObjectsConfig {
    /// Reads an address: `file:///absolute/path`, `file://./relative/path`, a plain path,
    /// `s3://bucket/prefix?setting=value`, `gs://bucket/prefix` or `az://container/prefix`.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("file") | None => DiskConfig::from_url(url).map(Self::Disk),
            #[cfg(feature = "s3")]
            Some("s3") => {
                crate::s3::S3Config::from_url(url).map(|config| Self::S3(Box::new(config)))
            }
            #[cfg(feature = "gcs")]
            Some("gs") => {
                crate::gcs::GcsConfig::from_url(url).map(|config| Self::Gcs(Box::new(config)))
            }
            #[cfg(feature = "azure")]
            Some("az") => {
                crate::azure::AzureConfig::from_url(url).map(|config| Self::Azure(Box::new(config)))
            }
            Some(scheme) if ELSEWHERE.contains(&scheme) => {
                Err(ObjectsError::NotCompiled { scheme: scheme.into() })
            }
            Some(scheme) => Err(ObjectsError::UnknownScheme { scheme: scheme.into() }),
        }
    }
}

impl DiskConfig {
    /// Reads an address: `file:///absolute/path`, `file://./relative/path`, or a plain path.
    ///
    /// The path is taken as it is written: nothing in it is percent-decoded.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        let path = url.strip_prefix("file://").unwrap_or(url);
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
        match ObjectsConfig::from_url(url).ok()? {
            ObjectsConfig::Disk(disk) => Some(disk.directory.to_string_lossy().into_owned()),
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            _ => None,
        }
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
        let refused = ObjectsConfig::from_url("abfss://container");
        assert!(matches!(refused, Err(ObjectsError::NotCompiled { .. })), "{refused:?}");
        let refused = ObjectsConfig::from_url("ftp://host/blobs");
        assert!(matches!(refused, Err(ObjectsError::UnknownScheme { .. })), "{refused:?}");
    }
}
