//! The client: region, endpoint, TLS and the whole chain of credentials.

use crate::config::{Credentials, SqsConfig};
use crate::error::{Refusal, SqsError};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A long poll takes 20 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 3;

/// Makes the client, and asks the service whether it will work.
pub(crate) async fn connect(config: &SqsConfig) -> Result<Client, SqsError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(tls(config)?)
                .build_https(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts);
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    if let Credentials::Key { access_key_id, secret_access_key } = &config.credentials {
        let (id, secret) = (access_key_id, secret_access_key);
        let key = aws_sdk_sqs::config::Credentials::new(id, secret, None, None, "printmill");
        loader = loader.credentials_provider(key);
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        return Err(SqsError::Refused {
            what: "no region is known".into(),
            remedy: "set region=… in the address, or AWS_REGION".into(),
            passing: false,
            said: String::new(),
        });
    }
    let client = Client::new(&shared);
    // A queue that is hardly there: that it is missing is a good answer.
    let looked = client.get_queue_url().queue_name(format!("{}-looking", config.prefix)).send();
    if let Err(error) = looked.await {
        let refusal = Refusal::of(&error);
        if !refusal.is_missing() {
            return Err(refusal.at_open(shared.endpoint_url()));
        }
    }
    Ok(client)
}

fn tls(config: &SqsConfig) -> Result<TlsContext, SqsError> {
    let wrong = |why: String| SqsError::Address { part: "setting 'ca_file'".into(), why };
    let mut trusted = TrustStore::default();
    if let Some(path) = &config.ca_file {
        let read = std::fs::read(path);
        let pem = read.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        if !pem.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(wrong(format!("{}: it has no certificate", path.display())));
        }
        trusted = trusted.with_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|error| wrong(error.to_string()))
}
