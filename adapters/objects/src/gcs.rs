//! Google Cloud Storage.

use crate::address::Address;
use crate::error::ObjectsError;
use crate::remote::{self, Remote, Trouble};
use object_store::gcp::GoogleCloudStorageBuilder;
use printmill_backend::Blobs;
use std::path::PathBuf;
use url::Url;

/// Its name in messages.
const GCS: &str = "gcs";

/// Blobs in a bucket of Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsConfig {
    /// The bucket.
    pub bucket: String,
    /// Before every key, without slashes around it; may be empty.
    pub prefix: String,
    /// The file of a service account's key; else `GOOGLE_APPLICATION_CREDENTIALS`, or the
    /// identity of the machine or pod.
    pub key_file: Option<PathBuf>,
    /// The address of an emulator, which is asked without credentials.
    pub emulator: Option<Url>,
    /// Limits of each request.
    pub remote: Remote,
}

impl GcsConfig {
    /// Reads an address: `gs://bucket/prefix?setting=value&…`. The settings are `key_file`,
    /// `emulator`, `timeout_seconds`, `connect_seconds`, `retries` and `retry_seconds`.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        let mut address = Address::parse(url)?;
        let config = Self {
            bucket: address.container.clone(),
            prefix: address.prefix.clone(),
            key_file: address.file("key_file")?,
            emulator: address.server("emulator")?,
            remote: Remote::read(&mut address)?,
        };
        address.finish()?;
        Ok(config)
    }
}

/// Opens a bucket. Uploads that crashes left in quarantine more than a day ago are removed.
pub(crate) async fn open(config: GcsConfig) -> Result<Blobs, ObjectsError> {
    let plain = config.emulator.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&config.bucket)
        .with_client_options(config.remote.client(plain))
        .with_retry(config.remote.retry());
    let default = std::env::var("GOOGLE_APPLICATION_CREDENTIALS").ok();
    builder = match (&config.emulator, &config.key_file, default) {
        (Some(emulator), _, _) => {
            let url = emulator.as_str().trim_end_matches('/');
            builder.with_base_url(url).with_skip_signature(true)
        }
        (None, Some(path), _) => builder.with_service_account_path(path.to_string_lossy()),
        (None, None, Some(path)) if !path.is_empty() => builder.with_application_credentials(path),
        (None, None, _) => builder,
    };
    let client = builder.build().map_err(|error| {
        let what = "the client cannot be made".to_owned();
        let remedy = "check key_file=…, or the file that GOOGLE_APPLICATION_CREDENTIALS names";
        Trouble::of(&error).refused(GCS, what, remedy.into(), false)
    })?;
    let store = remote::with_prefix(client, &config.prefix);
    remote::look(store.as_ref()).await.map_err(|error| refused(&config, error))?;
    remote::sweep(store.as_ref()).await;
    Ok(remote::blobs(GCS, store))
}

fn refused(config: &GcsConfig, error: object_store::Error) -> ObjectsError {
    let trouble = Trouble::of(&error);
    let bucket = &config.bucket;
    let (what, remedy) = match &error {
        object_store::Error::NotFound { .. } => (
            format!("there is no bucket '{bucket}'"),
            "create it, or correct its name in the address".to_owned(),
        ),
        object_store::Error::Unauthenticated { .. } => (
            "the store does not know who asks".to_owned(),
            "check key_file=…, GOOGLE_APPLICATION_CREDENTIALS, or the machine's identity".into(),
        ),
        object_store::Error::PermissionDenied { .. } => (
            format!("the store does not let this account list the bucket '{bucket}'"),
            "give it the role roles/storage.objectAdmin there".into(),
        ),
        _ if trouble.says("metadata") => (
            "there are no credentials".to_owned(),
            "set key_file=… or GOOGLE_APPLICATION_CREDENTIALS, or give the machine an identity"
                .into(),
        ),
        _ if trouble.says("404") => (
            format!("there is no bucket '{bucket}'"),
            "create it, or correct its name in the address".into(),
        ),
        _ => {
            let url =
                config.emulator.as_ref().map_or("https://storage.googleapis.com", Url::as_str);
            return trouble.unreached(GCS, url);
        }
    };
    trouble.refused(GCS, what, remedy, false)
}
