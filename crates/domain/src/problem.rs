//! Every way a request can be refused: a code with a page in `docs/errors/`, one clear sentence,
//! and what to do about it.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $class:ident;)*) => {
        /// A stable name of what went wrong. Each has a page in `docs/errors/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All codes, in the order of this file.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as clients see it.
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// What kind of refusal it is; the edge maps it to gRPC and HTTP status codes.
            pub fn class(self) -> Class {
                match self { $(Code::$name => Class::$class,)* }
            }
        }
    };
}

/// The kinds of refusal, after the canonical codes of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request is wrong and stays wrong.
    Invalid,
    /// Nobody who may be seen by the caller has that name.
    NotFound,
    /// The request fits, but not the present state.
    Precondition,
    /// Somebody else was there first, or the name was used for something else.
    Conflict,
    /// Who asks is unknown.
    Unauthenticated,
    /// Who asks may not.
    Forbidden,
    /// More than a limit allows.
    TooLarge,
    /// It can work later.
    Unavailable,
    /// The caller gave up, or the node is leaving.
    Cancelled,
    /// A fault of Printmill.
    Internal,
}

codes! {
    /// A field of the request is missing or wrong.
    InvalidArgument => "INVALID_ARGUMENT", Invalid;
    /// Nothing with that id belongs to the caller.
    NotFound => "NOT_FOUND", NotFound;
    /// There is no key, or it is not one of ours.
    Unauthenticated => "UNAUTHENTICATED", Unauthenticated;
    /// The key was revoked.
    KeyRevoked => "KEY_REVOKED", Unauthenticated;
    /// The key is good, but its scope does not cover the call.
    PermissionDenied => "PERMISSION_DENIED", Forbidden;
    /// A request id came back with other content.
    RequestIdReused => "REQUEST_ID_REUSED", Conflict;
    /// The thing changed since it was read.
    Conflict => "CONFLICT", Conflict;
    /// No product has that SKU.
    UnknownSku => "UNKNOWN_SKU", Invalid;
    /// The product cannot be bound with so many or so few pages.
    PageCountOutOfRange => "PAGE_COUNT_OUT_OF_RANGE", Invalid;
    /// The country is not one that we deliver to.
    CountryNotServed => "COUNTRY_NOT_SERVED", Invalid;
    /// The asset has not been uploaded or inspected yet.
    AssetNotReady => "ASSET_NOT_READY", Precondition;
    /// The asset has its file already.
    AssetAlreadyUploaded => "ASSET_ALREADY_UPLOADED", Conflict;
    /// The file is no picture that can be printed.
    AssetNotAnImage => "ASSET_NOT_AN_IMAGE", Invalid;
    /// The file ends too early.
    AssetTruncated => "ASSET_TRUNCATED", Invalid;
    /// The file contradicts itself.
    AssetDamaged => "ASSET_DAMAGED", Invalid;
    /// The picture has more pixels than may be opened.
    AssetTooManyPixels => "ASSET_TOO_MANY_PIXELS", Invalid;
    /// The picture uses a variant of its format that is not supported.
    AssetUnsupported => "ASSET_UNSUPPORTED", Invalid;
    /// The file has more bytes than may be uploaded.
    AssetTooLarge => "ASSET_TOO_LARGE", TooLarge;
    /// The bytes that arrived are not those that were announced.
    ChecksumMismatch => "CHECKSUM_MISMATCH", Invalid;
    /// The signature of a link is wrong.
    LinkInvalid => "LINK_INVALID", Forbidden;
    /// A signed link is past its time.
    LinkExpired => "LINK_EXPIRED", Forbidden;
    /// The range that was asked for is not in the file.
    RangeNotSatisfiable => "RANGE_NOT_SATISFIABLE", Invalid;
    /// The events after that place in the log are not kept any more.
    CursorExpired => "CURSOR_EXPIRED", Precondition;
    /// The quote is past its time.
    QuoteExpired => "QUOTE_EXPIRED", Precondition;
    /// The quote was turned into an order before.
    QuoteUsed => "QUOTE_USED", Precondition;
    /// The payment was refused.
    PaymentDeclined => "PAYMENT_DECLINED", Precondition;
    /// The state it is in does not allow that.
    InvalidState => "INVALID_STATE", Precondition;
    /// The cron line or time zone of a schedule cannot be read.
    ScheduleInvalid => "SCHEDULE_INVALID", Invalid;
    /// The cron line names no time that ever comes.
    ScheduleNeverFires => "SCHEDULE_NEVER_FIRES", Invalid;
    /// The lease ran out, or another worker holds it.
    LeaseLost => "LEASE_LOST", Precondition;
    /// The work was not done before its deadline.
    WorkOverdue => "WORK_OVERDUE", Precondition;
    /// The work is not wanted any more.
    WorkCancelled => "WORK_CANCELLED", Precondition;
    /// Workers vanished again and again while working on it.
    WorkerLost => "WORKER_LOST", Precondition;
    /// No facility can make it and deliver it there.
    NoCapableFacility => "NO_CAPABLE_FACILITY", Precondition;
    /// The file could not be made from the design.
    RenderFailed => "RENDER_FAILED", Precondition;
    /// The message or header is larger than the limit.
    RequestTooLarge => "REQUEST_TOO_LARGE", TooLarge;
    /// There is no such method or path.
    UnknownMethod => "UNKNOWN_METHOD", NotFound;
    /// A backend does not answer just now.
    Unavailable => "UNAVAILABLE", Unavailable;
    /// The disk or bucket is full.
    StorageFull => "STORAGE_FULL", Unavailable;
    /// The data directory cannot be written to.
    StorageReadOnly => "STORAGE_READ_ONLY", Unavailable;
    /// The deadline passed, or the node is shutting down.
    Cancelled => "CANCELLED", Cancelled;
    /// Another program listens on the address.
    AddressInUse => "ADDRESS_IN_USE", Unavailable;
    /// The configuration contradicts itself or has an unknown key.
    ConfigurationInvalid => "CONFIGURATION_INVALID", Invalid;
    /// The address needs an adapter that this binary was built without.
    AdapterNotCompiled => "ADAPTER_NOT_COMPILED", Invalid;
    /// A backend that is configured does not keep its contract.
    CheckFailed => "CHECK_FAILED", Invalid;
    /// A fault of Printmill.
    Internal => "INTERNAL", Internal;
}

impl Code {
    /// Whether the same request can succeed later without being changed.
    pub fn retryable(self) -> bool {
        matches!(self.class(), Class::Unavailable | Class::Cancelled) || self == Code::Conflict
    }

    /// Whether what the request or work needs is away, full or closed just now. That says nothing
    /// about the request or the work itself.
    pub fn is_outage(self) -> bool {
        self.class() == Class::Unavailable
    }

    /// Finds a code by its text.
    pub fn parse(text: &str) -> Option<Code> {
        Self::ALL.iter().copied().find(|code| code.text() == text)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown code {text}")))
    }
}

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The field's path, as in `items[0].quantity`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

/// A refusal that reaches the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The stable name.
    pub code: Code,
    /// One sentence: what happened.
    pub message: String,
    /// One sentence: what to do.
    pub advice: String,
    /// The fields at fault, when there are some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

impl Problem {
    /// A refusal with what happened and what to do.
    pub fn new(code: Code, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { code, message: message.into(), advice: advice.into(), violations: Vec::new() }
    }

    /// Nothing called `id` belongs to the caller. It says the same whether it does not exist or
    /// belongs to somebody else.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(
            Code::NotFound,
            format!("there is no {what} {id}"),
            "check the id, and that the key belongs to the merchant who owns it",
        )
    }

    /// One field is wrong.
    pub fn invalid_field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Violation {
            field: field.into(),
            description: description.into(),
        }])
    }

    /// Several fields are wrong. There must be at least one.
    pub fn invalid_fields(violations: Vec<Violation>) -> Self {
        let message = match violations.as_slice() {
            [one] => format!("{}: {}", one.field, one.description),
            more => format!("{} fields are wrong", more.len()),
        };
        Self {
            code: Code::InvalidArgument,
            message,
            advice: "correct the fields named and send the request again".into(),
            violations,
        }
    }

    /// The state does not allow the command.
    pub fn invalid_state(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Code::InvalidState, message, advice)
    }

    /// The same refusal, naming a field.
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        let description = self.message.clone();
        self.violations.push(Violation { field: field.into(), description });
        self
    }
}
