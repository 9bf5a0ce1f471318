//! Passwords for Amazon RDS and Aurora that AWS gives for a quarter of an hour: requests to connect
//! that are signed with the credentials of this machine's role (Signature Version 4), as in
//! "IAM database authentication" of the RDS user guide.

use crate::server_address::ServerAddress;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use printmill_backend::{BackendError, Fault};
use std::time::{Duration, SystemTime};

/// How long AWS takes a password for connecting. A connection that stands is not affected.
pub(super) const LIFE: Duration = Duration::from_secs(15 * 60);
/// What need not be escaped in a query (RFC 3986, section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const SIGN: &str = "make a password by IAM";

/// What signs the passwords for one server.
#[derive(Debug)]
pub(crate) struct Tokens {
    backend: &'static str,
    host: String,
    port: u16,
    user: String,
    region: String,
    credentials: SharedCredentialsProvider,
}

impl Tokens {
    /// Finds the region, and credentials by AWS's whole chain.
    pub(super) async fn open(
        backend: &'static str,
        address: &ServerAddress,
    ) -> Result<Self, BackendError> {
        let refused =
            |detail: &str| BackendError::new(Fault::Rejected, backend, "open the database", detail);
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if let Some(region) = address.region.clone().or_else(|| region_of(&address.host)) {
            loader = loader.region(Region::new(region));
        }
        let loaded = loader.load().await;
        let region = loaded.region().ok_or_else(|| {
            refused("no region is known: add region=… to the address, or set AWS_REGION")
        })?;
        let credentials = loaded.credentials_provider().ok_or_else(|| {
            refused("there are no AWS credentials: give this machine a role, or set AWS_PROFILE")
        })?;
        Ok(Self {
            backend,
            host: address.host.clone(),
            port: address.port,
            user: address.user.clone(),
            region: region.to_string(),
            credentials,
        })
    }

    /// A password that is good for `LIFE` from now.
    pub(super) async fn next(&self) -> Result<String, BackendError> {
        let failed = |fault, detail| BackendError::new(fault, self.backend, SIGN, detail);
        let found = self.credentials.provide_credentials().await;
        let credentials = found.map_err(|error| {
            let detail = "AWS gives no credentials: check this machine's role";
            failed(Fault::Unavailable, detail).because(error)
        })?;
        let signed = self.sign(credentials, SystemTime::now());
        signed.map_err(|error| BackendError {
            source: Some(error),
            ..failed(Fault::Other, "it cannot be signed")
        })
    }

    fn sign(&self, credentials: Credentials, now: SystemTime) -> Result<String, Unsignable> {
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFE);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("rds-db")
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let Self { host, port, user, .. } = self;
        let user = utf8_percent_encode(user, ESCAPED);
        let place = format!("{host}:{port}/?Action=connect&DBUser={user}");
        let url = format!("https://{place}");
        let request =
            SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let added = instructions.params().iter();
        Ok(added.fold(place, |token, (name, value)| {
            format!("{token}&{name}={}", utf8_percent_encode(value, ESCAPED))
        }))
    }
}

type Unsignable = Box<dyn std::error::Error + Send + Sync>;

/// The region that a server's name tells: `shop.abc.eu-west-1.rds.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let (before, after) = host.split_once(".rds.amazonaws.com")?;
    let region = before.rsplit('.').next().filter(|region| region.contains('-'))?;
    matches!(after, "" | ".cn").then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What botocore 1.44.5 makes of the same (`rds.generate_db_auth_token`, on 2026-11-21 at noon).
    const BY_BOTOCORE: &str = "shop.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=connect&\
        DBUser=print%20mill&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F2026\
        1121%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20261121T120000Z&X-Amz-Expires=900&\
        X-Amz-SignedHeaders=host&X-Amz-Signature=33eca374e783095a96b51eab23cf3820d4cb93924c6d719b8\
        7e822aca88fb212";
    const BY_BOTOCORE_WITH_SESSION: &str = "shop.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=\
        connect&DBUser=print%20mill&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE\
        %2F20261121%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20261121T120000Z&X-Amz-Expires=\
        900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=a%2Fsession%2Btoken%3D%3D&X-Amz-Signatur\
        e=986b9270f273e88329fe5af2ac3663e9b6c53cd8465f1a22a576b5574ebfb257";

    fn signed(session: Option<&str>) -> String {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let session = session.map(str::to_owned);
        let credentials = Credentials::new("AKIDEXAMPLE", secret, session, None, "test");
        let tokens = Tokens {
            backend: "postgres",
            host: "shop.abc123.eu-west-1.rds.amazonaws.com".into(),
            port: 5432,
            user: "print mill".into(),
            region: "eu-west-1".into(),
            credentials: SharedCredentialsProvider::new(credentials.clone()),
        };
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400);
        tokens.sign(credentials, noon).unwrap()
    }

    /// Where it goes, and its parameters, whose order means nothing.
    fn parts(token: &str) -> (&str, BTreeSet<&str>) {
        let (place, query) = token.split_once('?').unwrap();
        (place, query.split('&').collect())
    }

    #[test]
    fn passwords_are_those_that_aws_takes() {
        assert_eq!(parts(&signed(None)), parts(BY_BOTOCORE));
        let with_session = signed(Some("a/session+token=="));
        assert_eq!(parts(&with_session), parts(BY_BOTOCORE_WITH_SESSION));
    }

    #[test]
    fn names_of_servers_tell_their_region() {
        let region = |host: &str| region_of(host);
        assert_eq!(region("shop.abc.eu-west-1.rds.amazonaws.com").as_deref(), Some("eu-west-1"));
        let cluster = "shop.cluster-abc.cn-north-1.rds.amazonaws.com.cn";
        assert_eq!(region(cluster).as_deref(), Some("cn-north-1"));
        for other in ["db.example", "rds.amazonaws.com", "x.rds.amazonaws.com.example"] {
            assert_eq!(region(other), None, "{other}");
        }
    }
}
