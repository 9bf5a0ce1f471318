//! Why a bucket does not work, in words that name the setting to change.

use super::S3;
use super::config::{Credentials, S3Config};
use crate::error::ObjectsError;
use crate::remote::Trouble;

/// What a store's refusal of the first request means.
pub(super) fn refused(config: &S3Config, error: object_store::Error) -> ObjectsError {
    let trouble = Trouble::of(&error);
    let code = trouble.tag("Code").unwrap_or_default();
    if let Some((what, remedy)) = by_code(config, &trouble, &code) {
        return trouble.refused(S3, what, remedy, false);
    }
    if trouble.says("169.254.169.254") || trouble.says("AWS_METADATA") {
        let what = "there are no credentials".to_owned();
        let remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or access_key_id and \
                      secret_access_key_file in the address, or give the machine a role";
        return trouble.refused(S3, what, remedy.into(), false);
    }
    trouble.unreached(S3, &config.bucket_url(config.endpoint.as_ref()))
}

fn by_code(config: &S3Config, trouble: &Trouble, code: &str) -> Option<(String, String)> {
    let bucket = &config.bucket;
    let (key, secret) = match &config.credentials {
        Credentials::Chain => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        Credentials::Key { .. } => ("access_key_id", "the file of secret_access_key_file"),
    };
    let region = |found: Option<String>| {
        let found = found.map_or_else(|| "another region".into(), |region| format!("'{region}'"));
        let what = format!(
            "the bucket '{bucket}' is in {found}, but requests were signed for '{}'",
            config.signing_region()
        );
        Some((what, "set region=… in the address, or AWS_REGION".to_owned()))
    };
    let say = |what: String, remedy: String| Some((what, remedy));
    match code {
        "NoSuchBucket" => say(
            format!("there is no bucket '{bucket}'"),
            "create it, or correct its name in the address".into(),
        ),
        "InvalidAccessKeyId" | "UnrecognizedClientException" | "NotSignedUp" => {
            say("the store does not know the access key".into(), format!("correct {key}"))
        }
        "SignatureDoesNotMatch" => say(
            "the store knows the access key, but not its secret".into(),
            format!(
                "correct {secret}; a wrong region or a proxy that changes requests does this too"
            ),
        ),
        "ExpiredToken" | "TokenRefreshRequired" => say(
            "the credentials are past their time".into(),
            "renew them, with AWS_SESSION_TOKEN if they have one".into(),
        ),
        "InvalidToken" => {
            say("the session token is not right".into(), "correct AWS_SESSION_TOKEN".into())
        }
        "AccessDenied" | "AllAccessDisabled" => say(
            format!("the store does not let this key list the bucket '{bucket}'"),
            "allow it s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there".into(),
        ),
        "RequestTimeTooSkewed" => say(
            "this machine's clock and the store's are more than 15 minutes apart".into(),
            "set the clock right, by NTP".into(),
        ),
        "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            region(trouble.tag("Region"))
        }
        "PermanentRedirect" | "TemporaryRedirect" => region(trouble.tag("Region")),
        "" if trouble.says("redirect without LOCATION") => region(None),
        "InvalidBucketName" => say(
            format!("'{bucket}' is no name of a bucket there"),
            "correct its name in the address".into(),
        ),
        _ => None,
    }
}

/// What the client's refusal to be made means: only half a key was given.
pub(super) fn unbuildable(error: object_store::Error) -> ObjectsError {
    let remedy = "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together".to_owned();
    let what = "the client cannot be made".to_owned();
    ObjectsError::Refused { store: S3, what, remedy, passing: false, source: Some(error.into()) }
}
