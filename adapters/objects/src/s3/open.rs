//! Opens a bucket: makes the client, and asks the store whether it will work.

use super::S3;
use super::config::{Credentials, Links, S3Config, Style};
use super::refusal::{self, refused};
use super::sign::S3Signer;
use super::store::S3Store;
use crate::error::ObjectsError;
use crate::remote;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::{Certificate, ClientOptions};
use printmill_backend::Blobs;
use std::sync::Arc;

/// What of the environment says who asks.
const CHAIN: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

/// Opens a bucket. Uploads that crashes left in quarantine more than a day ago are removed.
pub(crate) async fn open(config: S3Config) -> Result<Blobs, ObjectsError> {
    let config = config.completed(|name| std::env::var(name).ok())?;
    let client = client(&config)?;
    let signer = (config.links == Links::Store).then(|| S3Signer::new(&config, &client));
    let store = remote::with_prefix(S3Store::new(client), &config.prefix);
    // Of all requests, the refusal of this one says the most.
    remote::look(store.as_ref()).await.map_err(|error| refused(&config, error))?;
    remote::sweep(store.as_ref()).await;
    let blobs = remote::blobs(S3, store);
    Ok(match signer {
        Some(signer) => blobs.signing(Arc::new(signer)),
        None => blobs,
    })
}

fn client(config: &S3Config) -> Result<AmazonS3, ObjectsError> {
    let endpoint = config.endpoint.as_ref();
    let plain = endpoint.is_some_and(|endpoint| endpoint.scheme() == "http");
    let mut options = config.remote.client(plain);
    if let Some(path) = &config.ca_file {
        let wrong =
            |why: String| ObjectsError::setting("ca_file", format!("{}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if found.is_empty() {
            return Err(wrong("it has no certificate".into()));
        }
        options = found.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let is_virtual = config.style() == Style::Virtual;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(config.signing_region())
        .with_virtual_hosted_style_request(is_virtual)
        .with_client_options(options)
        .with_retry(config.remote.retry());
    if let Some(endpoint) = endpoint {
        // In virtual style this client wants the bucket in the endpoint.
        let own = || endpoint.as_str().trim_end_matches('/').to_owned();
        let url = if is_virtual { config.bucket_url(Some(endpoint)) } else { own() };
        builder = builder.with_endpoint(url);
    }
    if config.checksum {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    with_credentials(builder, &config.credentials)?.build().map_err(refusal::unbuildable)
}

fn with_credentials(
    mut builder: AmazonS3Builder,
    credentials: &Credentials,
) -> Result<AmazonS3Builder, ObjectsError> {
    match credentials {
        Credentials::Chain => {
            for name in CHAIN {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                let key = name.to_ascii_lowercase().parse();
                if let (Some(value), Ok(key)) = (value, key) {
                    builder = builder.with_config(key, value);
                }
            }
        }
        Credentials::Key { access_key_id, secret_access_key, session_token } => {
            builder =
                builder.with_access_key_id(access_key_id).with_secret_access_key(secret_access_key);
            if let Some(token) = session_token {
                builder = builder.with_token(token);
            }
        }
    }
    Ok(builder)
}
