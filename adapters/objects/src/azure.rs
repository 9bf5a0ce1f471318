//! Azure Blob Storage.

use crate::address::{self, Address};
use crate::error::ObjectsError;
use crate::remote::{self, Remote, Trouble};
use object_store::azure::MicrosoftAzureBuilder;
use printmill_backend::Blobs;
use url::Url;

/// Its name in messages.
const AZURE: &str = "azure";

/// What of the environment says who asks.
const CHAIN: [&str; 12] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
    "AZURE_OBJECT_ID",
    "AZURE_MSI_RESOURCE_ID",
];

/// Blobs in a container of Azure Blob Storage.
#[derive(Clone, PartialEq, Eq)]
pub struct AzureConfig {
    /// The container.
    pub container: String,
    /// Before every key, without slashes around it; may be empty.
    pub prefix: String,
    /// The storage account; else `AZURE_STORAGE_ACCOUNT_NAME`.
    pub account: Option<String>,
    /// The account's key; else what the environment says: a key, a SAS token, a client's secret,
    /// a federated token, or the identity of the machine.
    pub account_key: Option<String>,
    /// The store's address, if it is not `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<Url>,
    /// Limits of each request.
    pub remote: Remote,
}

impl std::fmt::Debug for AzureConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AzureConfig")
            .field("container", &self.container)
            .field("prefix", &self.prefix)
            .field("account", &self.account)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl AzureConfig {
    /// Reads an address: `az://container/prefix?setting=value&…`. The settings are `account`,
    /// `account_key_file`, `endpoint`, `timeout_seconds`, `connect_seconds`, `retries` and
    /// `retry_seconds`.
    pub fn from_url(url: &str) -> Result<Self, ObjectsError> {
        let mut address = Address::parse(url)?;
        let key_file = address.file("account_key_file")?;
        let key = key_file.map(|path| address::secret("account_key_file", &path)).transpose()?;
        let config = Self {
            container: address.container.clone(),
            prefix: address.prefix.clone(),
            account: address.text("account")?,
            account_key: key,
            endpoint: address.server("endpoint")?,
            remote: Remote::read(&mut address)?,
        };
        address.finish()?;
        Ok(config)
    }
}

/// Opens a container. Uploads that crashes left in quarantine more than a day ago are removed.
pub(crate) async fn open(config: AzureConfig) -> Result<Blobs, ObjectsError> {
    let plain = config.endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut builder = MicrosoftAzureBuilder::new();
    for name in CHAIN {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(value), Ok(key)) = (value, name.to_ascii_lowercase().parse()) {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder
        .with_container_name(&config.container)
        .with_client_options(config.remote.client(plain))
        .with_retry(config.remote.retry());
    if let Some(account) = &config.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &config.account_key {
        builder = builder.with_access_key(key);
    }
    if let Some(endpoint) = &config.endpoint {
        let url = endpoint.as_str().trim_end_matches('/');
        builder = builder.with_endpoint(url.to_owned());
    }
    let client = builder.build().map_err(|error| {
        let what = "the client cannot be made".to_owned();
        let remedy = "set account=… in the address or AZURE_STORAGE_ACCOUNT_NAME, and check \
                      account_key_file=… or AZURE_STORAGE_ACCOUNT_KEY, which is base64";
        Trouble::of(&error).refused(AZURE, what, remedy.into(), false)
    })?;
    let store = remote::with_prefix(client, &config.prefix);
    remote::look(store.as_ref()).await.map_err(|error| refused(&config, error))?;
    remote::sweep(store.as_ref()).await;
    Ok(remote::blobs(AZURE, store))
}

fn refused(config: &AzureConfig, error: object_store::Error) -> ObjectsError {
    let trouble = Trouble::of(&error);
    let container = &config.container;
    let any = |words: &[&str]| words.iter().any(|words| trouble.says(words));
    let (what, remedy) = if any(&["ContainerNotFound", "ResourceNotFound"]) {
        (
            format!("there is no container '{container}'"),
            "create it, or correct its name in the address",
        )
    } else if any(&["AuthenticationFailed", "InvalidAuthenticationInfo"]) {
        (
            "the store does not accept the credentials".to_owned(),
            "check account_key_file=… or AZURE_STORAGE_ACCOUNT_KEY, that the account is its owner, \
             and this machine's clock",
        )
    } else if any(&[
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "InsufficientAccount",
    ]) {
        (
            format!("the store does not let this account list the container '{container}'"),
            "check account_key_file=… or AZURE_STORAGE_ACCOUNT_KEY, or give the identity the role \
             Storage Blob Data Contributor there",
        )
    } else if any(&["169.254.169.254", "metadata/identity"]) {
        (
            "there are no credentials".to_owned(),
            "set account_key_file=… or AZURE_STORAGE_ACCOUNT_KEY, or give the machine an identity",
        )
    } else {
        let url = config.endpoint.as_ref().map_or("the storage account", Url::as_str);
        return trouble.unreached(AZURE, url);
    };
    trouble.refused(AZURE, what, remedy.to_owned(), false)
}
