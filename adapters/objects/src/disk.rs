//! A directory as an object store, whose renames survive a crash of the machine.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// [`LocalFileSystem`] never waits for the disk. Blobs are put in place by a rename, so it is
/// enough to do that here: the file's bytes before, and its directories after.
#[derive(Debug)]
pub(crate) struct Disk {
    files: LocalFileSystem,
    /// The canonical directory, above which nothing is synced.
    root: PathBuf,
}

impl Disk {
    pub(crate) fn new(root: PathBuf) -> Result<Self> {
        let files = LocalFileSystem::new_with_prefix(&root)?.with_automatic_cleanup(true);
        Ok(Self { files, root })
    }
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let file = self.files.path_to_filesystem(from)?;
        let placed = self.files.path_to_filesystem(to)?;
        blocking(move || if_there(File::open(&file)?.sync_all())).await?;
        self.files.rename_opts(from, to, options).await?;
        let root = self.root.clone();
        blocking(move || {
            let directories = placed.ancestors().skip(1).take_while(|path| path.starts_with(&root));
            for directory in directories {
                // It may have been deleted again by now, and the directory with it.
                if_there(File::open(directory).and_then(|directory| directory.sync_all()))?;
            }
            Ok(())
        })
        .await
    }
}

fn if_there(synced: io::Result<()>) -> io::Result<()> {
    synced.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await?;
    done.map_err(|source| object_store::Error::Generic { store: "disk", source: source.into() })
}
