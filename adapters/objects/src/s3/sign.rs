//! Presigned requests (Signature Version 4), with the headers that bind an upload to its content.

use super::S3;
use super::config::S3Config;
use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::{AmazonS3, AwsCredentialProvider};
use object_store::path::Path;
use printmill_backend::error::{BackendError, Fault};
use printmill_backend::links::{LinkSigner, Presentation, SignedRequest};
use printmill_domain::asset::BlobRef;
use std::time::{Duration, SystemTime};
use url::Url;

const SIGN: &str = "sign a link";

/// Signs requests to a bucket. `object_store` signs none with headers, without which whoever has
/// a link for an upload could put anything there.
#[derive(Debug)]
pub(crate) struct S3Signer {
    bucket_url: String,
    prefix: String,
    region: String,
    checksum: bool,
    credentials: AwsCredentialProvider,
}

impl S3Signer {
    pub(crate) fn new(config: &S3Config, client: &AmazonS3) -> Self {
        let endpoint = config.public_endpoint.as_ref().or(config.endpoint.as_ref());
        Self {
            bucket_url: config.bucket_url(endpoint),
            prefix: config.prefix.clone(),
            region: config.signing_region().to_owned(),
            checksum: config.checksum,
            credentials: client.credentials().clone(),
        }
    }

    async fn sign(
        &self,
        method: &'static str,
        key: &Path,
        query: &[(&str, &str)],
        headers: Vec<(String, String)>,
        life: Duration,
    ) -> Result<SignedRequest, BackendError> {
        let credential = self.credentials.get_credential().await.map_err(|error| {
            let detail = "there are no credentials just now";
            BackendError::new(Fault::Unavailable, S3, SIGN, detail).because(error)
        })?;
        let (id, secret) = (credential.key_id.clone(), credential.secret_key.clone());
        let identity = Credentials::new(id, secret, credential.token.clone(), None, "printmill");
        let identity = identity.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(life);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(unsignable)?
            .into();
        let mut url = self.url(key)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request =
            SignableRequest::new(method, url.as_str(), named, SignableBody::UnsignedPayload);
        let signed = sign(request.map_err(unsignable)?, &parameters).map_err(unsignable)?;
        let mut request =
            http::Request::builder().uri(url.as_str()).body(()).map_err(unsignable)?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(SignedRequest { method, url: request.uri().to_string(), headers })
    }

    fn url(&self, key: &Path) -> Result<Url, BackendError> {
        // Neither prefixes nor keys have characters that an address would write differently.
        let path = match self.prefix.as_str() {
            "" => key.to_string(),
            prefix => format!("{prefix}/{key}"),
        };
        Url::parse(&format!("{}/{path}", self.bucket_url)).map_err(unsignable)
    }
}

#[async_trait]
impl LinkSigner for S3Signer {
    async fn download(
        &self,
        key: &Path,
        presentation: &Presentation,
        life: Duration,
    ) -> Result<SignedRequest, BackendError> {
        let query = [
            ("response-content-disposition", presentation.disposition.as_str()),
            ("response-content-type", presentation.media_type.as_str()),
        ];
        self.sign("GET", key, &query, vec![], life).await
    }

    async fn upload(
        &self,
        key: &Path,
        content: &BlobRef,
        life: Duration,
    ) -> Result<SignedRequest, BackendError> {
        let mut headers = vec![("content-length".to_owned(), content.size.to_string())];
        if self.checksum {
            let hash = hex::decode(&content.sha256).map_err(unsignable)?;
            let hash = BASE64_STANDARD.encode(hash);
            headers.push(("x-amz-checksum-sha256".to_owned(), hash));
        }
        self.sign("PUT", key, &[], headers, life).await
    }
}

fn unsignable(error: impl std::error::Error + Send + Sync + 'static) -> BackendError {
    BackendError::new(Fault::Other, S3, SIGN, "it cannot be signed").because(error)
}
