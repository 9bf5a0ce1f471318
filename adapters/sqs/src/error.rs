//! What SQS answers when it does not do what it is asked, in words that name what to change.

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use printmill_backend::error::{BackendError, Fault};

/// Its name in messages.
pub(crate) const SQS: &str = "sqs";

/// The queues could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SqsError {
    /// A part of the address is wrong.
    #[error("the {part} is wrong: {why}")]
    Address {
        /// Which part.
        part: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The service cannot be reached, or refuses to work with these settings.
    #[error("{what}: {remedy}")]
    Refused {
        /// What is the matter.
        what: String,
        /// Which setting to change, and how.
        remedy: String,
        /// Whether the same settings can work later.
        passing: bool,
        /// What the service said.
        said: String,
    },
}

impl From<SqsError> for BackendError {
    fn from(error: SqsError) -> Self {
        let fault = match &error {
            SqsError::Refused { passing: true, .. } => Fault::Unavailable,
            SqsError::Address { .. } | SqsError::Refused { passing: false, .. } => Fault::Rejected,
        };
        let failure = Self::new(fault, SQS, "open the queues", error.to_string());
        match error {
            SqsError::Refused { said, .. } if !said.is_empty() => failure.because(Said(said)),
            _ => failure,
        }
    }
}

/// What the service or its client said, without the request, which may be long.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// The most of it that is kept, in characters.
const SAID_MAX: usize = 300;

/// A refusal by the service, taken apart.
pub(crate) struct Refusal {
    /// The code, without what comes before it: `QueueDoesNotExist`.
    pub(crate) code: String,
    said: String,
    /// Everything that is known, to look for words in.
    all: String,
}

impl Refusal {
    pub(crate) fn of<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let whole = error.code().unwrap_or_default();
        let code = whole.rsplit(['#', '.']).next().unwrap_or_default().to_owned();
        let all = DisplayErrorContext(error).to_string();
        let said = match (error.code(), error.message()) {
            (Some(_), Some(message)) => format!("{code}: {message}"),
            (Some(_), None) => code.clone(),
            // The client's own words end with all there is for programmers.
            _ => all.split(" (").next().unwrap_or_default().to_owned(),
        };
        Self { code, said: said.chars().take(SAID_MAX).collect(), all }
    }

    /// Whether the queue is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.code.as_str(), "QueueDoesNotExist" | "NonExistentQueue")
    }

    /// Whether the handle means nothing to the queue any more.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.code.as_str(), "ReceiptHandleIsInvalid" | "MessageNotInflight")
            || self.is_missing()
            // Beyond 12 hours since the message was delivered.
            || self.all.contains("Total VisibilityTimeout")
    }

    /// The failure of an operation while the node runs.
    pub(crate) fn failure(self, operation: &'static str) -> BackendError {
        let (fault, detail) = match self.code.as_str() {
            "QueueDoesNotExist" | "NonExistentQueue" => (Fault::NotFound, "the queue is not there"),
            "QueueDeletedRecently" => {
                (Fault::Unavailable, "the queue was deleted less than a minute ago")
            }
            "OverLimit" => (Fault::Unavailable, "too many messages are leased"),
            "InvalidMessageContents" | "BatchRequestTooLong" | "InvalidParameterValue" => {
                (Fault::Rejected, "the service does not take that")
            }
            "AccessDenied" | "AccessDeniedException" => {
                (Fault::ReadOnly, "the service does not allow it")
            }
            _ => (Fault::Unavailable, "the service did not answer as it should"),
        };
        BackendError::new(fault, SQS, operation, detail).because(Said(self.said))
    }

    /// The failure of the first look at the service.
    pub(crate) fn at_open(self, endpoint: Option<&str>) -> SqsError {
        let any = |words: &[&str]| words.iter().any(|words| self.all.contains(words));
        let place = endpoint.unwrap_or("Amazon SQS");
        let permissions = "allow sqs:GetQueueUrl, CreateQueue, GetQueueAttributes, SendMessage, \
                           ReceiveMessage, DeleteMessage and ChangeMessageVisibility";
        let (what, remedy, passing) = match self.code.as_str() {
            "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
                ("the service does not know the access key", "correct AWS_ACCESS_KEY_ID", false)
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" => (
                "the service knows the access key, but not its secret",
                "correct AWS_SECRET_ACCESS_KEY; a wrong region does this too: region=…",
                false,
            ),
            "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" => {
                ("the credentials are past their time", "renew them, with AWS_SESSION_TOKEN", false)
            }
            "RequestExpired" | "RequestTimeTooSkewed" => {
                ("this machine's clock is more than 15 minutes off", "set it right, by NTP", false)
            }
            "AccessDenied" | "AccessDeniedException" => {
                ("the service does not allow this key to work with the queues", permissions, false)
            }
            _ if any(&["no providers in chain", "credentials provider was not enabled"]) => (
                "there are no credentials",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile=…, or give the \
                 machine a role",
                false,
            ),
            _ if any(&["certificate", "UnknownIssuer"]) => (
                "nobody that this machine trusts vouches for the service",
                "name the authority's certificate by ca_file=…, or correct endpoint=…",
                false,
            ),
            _ if any(&["corrupt message", "InvalidContentType"]) => {
                ("the service does not speak TLS", "write http:// in endpoint=…", false)
            }
            _ if any(&["dns error", "failed to lookup address"]) => {
                ("the service's host is not known", "correct endpoint=… or region=…", false)
            }
            _ => {
                ("the service does not answer as it should", "check endpoint=… and region=…", true)
            }
        };
        let what = format!("{what} ({place})");
        SqsError::Refused { what, remedy: remedy.into(), passing, said: self.said }
    }
}
