//! Opens stores of blobs by their address.

use crate::config::{DiskConfig, ObjectsConfig};
use crate::disk::Disk;
use crate::error::ObjectsError;
use printmill_backend::Blobs;
use printmill_backend::blobs::BlobsCaps;
use printmill_backend::error::BackendError;
use printmill_backend::fresh;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Parts of this size are written one after the other.
const PART_BYTES: usize = 128 * 1024;

/// An upload that was not touched for so long belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// What a directory says of itself.
pub const DISK: BlobsCaps =
    BlobsCaps { name: "disk", local: true, part_bytes: PART_BYTES, atomic_put: false };

/// Opens the store at an address: `file:///absolute/path`, `file://./relative/path`, a plain path,
/// `s3://bucket/prefix?setting=value`, `gs://bucket/prefix` or `az://container/prefix`.
///
/// A directory is made if it is not there, and must be writable. A bucket must be there. Uploads
/// that a crash left in quarantine more than a day ago are removed.
pub async fn open(url: &str) -> Result<Blobs, BackendError> {
    open_config(ObjectsConfig::from_url(url)?).await
}

/// Opens the store that a configuration names.
pub async fn open_config(config: ObjectsConfig) -> Result<Blobs, BackendError> {
    match config {
        ObjectsConfig::Disk(disk) => open_disk(&disk),
        #[cfg(feature = "s3")]
        ObjectsConfig::S3(s3) => Ok(crate::s3::open(*s3).await?),
        #[cfg(feature = "gcs")]
        ObjectsConfig::Gcs(gcs) => Ok(crate::gcs::open(*gcs).await?),
        #[cfg(feature = "azure")]
        ObjectsConfig::Azure(azure) => Ok(crate::azure::open(*azure).await?),
    }
}

/// Blobs that were put survive a crash of the machine as far as the disk keeps what it syncs.
fn open_disk(config: &DiskConfig) -> Result<Blobs, BackendError> {
    let directory = &config.directory;
    let root = prepare(directory).map_err(|error| ObjectsError::of(directory, error))?;
    let disk = Disk::new(root).map_err(|error| ObjectsError::Unusable {
        path: directory.clone(),
        source: error.into(),
    })?;
    Ok(Blobs::new(Arc::new(disk), DISK))
}

/// Makes the directory, tries to write into it, tidies it, and gives its canonical path.
fn prepare(directory: &Path) -> io::Result<std::path::PathBuf> {
    fs::create_dir_all(directory)?;
    let root = fs::canonicalize(directory)?;
    let trial = root.join(format!(".writable-{}", hex::encode(fresh::bytes::<8>())));
    File::create_new(&trial)?;
    fs::remove_file(&trial)?;
    if let Some(before) = SystemTime::now().checked_sub(ABANDONED) {
        // What cannot be removed now is tried again at the next start.
        let _ = remove_abandoned(&root.join("quarantine"), before);
    }
    Ok(root)
}

fn remove_abandoned(directory: &Path, before: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            remove_abandoned(&entry.path(), before)?;
        } else if found.modified()? < before {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_backend::error::Fault;

    fn open(path: &Path) -> Result<Blobs, BackendError> {
        open_disk(&DiskConfig { directory: path.to_path_buf() })
    }

    #[test]
    fn the_directory_is_made_and_left_empty() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b/blobs");
        let blobs = open(&directory).unwrap();
        assert!(blobs.caps().local);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_not_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_path_buf(), file.path().join("below")] {
            let error = open(&path).unwrap_err();
            assert_eq!(error.fault, Fault::Rejected, "{error:?}");
            assert!(error.detail.ends_with("is not a directory"), "{error}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_that_may_not_be_written_to_says_so() {
        // Not even the superuser makes directories there.
        let error = open(Path::new("/sys/kernel/printmill")).unwrap_err();
        assert_eq!(error.fault, Fault::ReadOnly, "{error:?}");
        assert!(error.detail.contains("/sys/kernel/printmill"), "{error}");
        assert!(error.source.is_some());
    }

    #[test]
    fn only_abandoned_uploads_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let uploads = directory.path().join("quarantine/mer_1");
        fs::create_dir_all(&uploads).unwrap();
        let (old, young) = (uploads.join("old#1"), uploads.join("young#1"));
        File::create(&young).unwrap();
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        File::create(&old).unwrap().set_modified(long_ago).unwrap();
        open(directory.path()).unwrap();
        assert!(young.exists() && !old.exists());
    }
}
