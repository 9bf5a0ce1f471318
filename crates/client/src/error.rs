//! What went wrong with a call, in the words of the server.

use http::StatusCode;
use printmill_domain::problem::Code;
use serde::{Deserialize, Serialize};
use tonic_types::StatusExt;

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// The field's path, as in `items[0].quantity`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

/// A call that failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// The stable name, which has a page in `docs/errors`. A newer server may have codes that
    /// this client does not know.
    pub code: String,
    /// One sentence: what happened.
    pub message: String,
    /// One sentence: what to do. May be empty.
    pub advice: String,
    /// The fields at fault, when there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<FieldViolation>,
    /// Whether the same call can succeed in a moment.
    #[serde(skip)]
    pub retryable: bool,
}

impl ClientError {
    /// A failure that the client found itself.
    pub fn new(code: Code, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: code.text().into(),
            message: message.into(),
            advice: advice.into(),
            violations: vec![],
            retryable: worth_retrying(code),
        }
    }

    /// Whether it has this code.
    pub fn is(&self, code: Code) -> bool {
        self.code == code.text()
    }

    /// Whether the key itself was refused, so that no other call can work either.
    pub fn is_key_refused(&self) -> bool {
        self.is(Code::Unauthenticated) || self.is(Code::KeyRevoked)
    }

    pub(crate) fn unreachable(server: &str, why: impl std::fmt::Display) -> Self {
        Self::new(
            Code::Unavailable,
            format!("no server answers at {server}: {why}"),
            "start one with `printmill up`, or name another with --server or PRINTMILL_SERVER",
        )
    }

    /// Reads what the server put into a gRPC status.
    pub(crate) fn from_status(status: &tonic::Status, server: &str) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().filter(|info| !info.reason.is_empty());
        // A status with a cause was made here, of a connection that broke: no server sends one.
        let broken = std::error::Error::source(status).is_some();
        if reason.is_none() && (broken || status.code() == tonic::Code::Unavailable) {
            return Self::unreachable(server, innermost(status));
        }
        let known = reason.and_then(|info| Code::parse(&info.reason));
        let code = match reason {
            Some(info) => info.reason.clone(),
            None => code_of_grpc(status.code()).text().into(),
        };
        let retryable = known.map_or_else(
            || {
                use tonic::Code::{Aborted, Cancelled, DeadlineExceeded, Unavailable};
                matches!(status.code(), Unavailable | Aborted | Cancelled | DeadlineExceeded)
            },
            worth_retrying,
        );
        let advice = reason.and_then(|info| info.metadata.get("advice")).cloned().or_else(|| {
            let help = details.help()?;
            Some(help.links.first()?.description.clone())
        });
        let violations = details.bad_request().map(|bad| {
            let fields = bad.field_violations.iter().map(|violation| FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            });
            fields.collect()
        });
        Self {
            code,
            message: status.message().into(),
            advice: advice.unwrap_or_default(),
            violations: violations.unwrap_or_default(),
            retryable,
        }
    }

    /// Reads the answer of a signed link: RFC 9457 problem details, or only a status.
    pub(crate) fn from_http(status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Details {
            code: String,
            detail: Option<String>,
            title: Option<String>,
            advice: Option<String>,
        }
        match serde_json::from_slice::<Details>(body) {
            Ok(details) => Self {
                retryable: Code::parse(&details.code).is_some_and(worth_retrying),
                message: details.detail.or(details.title).unwrap_or_else(|| status.to_string()),
                advice: details.advice.unwrap_or_default(),
                code: details.code,
                violations: vec![],
            },
            Err(_) => {
                let code = match status {
                    StatusCode::NOT_FOUND => Code::NotFound,
                    StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Code::LinkInvalid,
                    StatusCode::PAYLOAD_TOO_LARGE => Code::AssetTooLarge,
                    StatusCode::RANGE_NOT_SATISFIABLE => Code::RangeNotSatisfiable,
                    status if status.is_server_error() => Code::Unavailable,
                    _ => Code::InvalidArgument,
                };
                let message = format!("the link answered {status}");
                Self::new(code, message, "ask for a new link and try again")
            }
        }
    }
}

/// Whether waiting a moment helps. A full disk is not freed in a moment.
fn worth_retrying(code: Code) -> bool {
    code.retryable() && !matches!(code, Code::StorageFull | Code::StorageReadOnly)
}

fn code_of_grpc(code: tonic::Code) -> Code {
    use tonic::Code as Grpc;
    match code {
        Grpc::InvalidArgument | Grpc::OutOfRange => Code::InvalidArgument,
        Grpc::NotFound => Code::NotFound,
        Grpc::Unauthenticated => Code::Unauthenticated,
        Grpc::PermissionDenied => Code::PermissionDenied,
        Grpc::Aborted | Grpc::AlreadyExists => Code::Conflict,
        Grpc::FailedPrecondition => Code::InvalidState,
        Grpc::ResourceExhausted => Code::RequestTooLarge,
        Grpc::Unimplemented => Code::UnknownMethod,
        Grpc::Unavailable => Code::Unavailable,
        Grpc::Cancelled | Grpc::DeadlineExceeded => Code::Cancelled,
        Grpc::Ok | Grpc::Unknown | Grpc::Internal | Grpc::DataLoss => Code::Internal,
    }
}

/// What is at the bottom of a failed connection: `Connection refused (os error 111)`.
fn innermost(status: &tonic::Status) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = status;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().into(),
        None => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    const SERVER: &str = "http://127.0.0.1:7070";

    #[test]
    fn the_servers_code_advice_and_fields_are_read() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("advice".to_owned(), "use one of a, b".to_owned())]);
        details.set_error_info("UNKNOWN_SKU", "printmill", metadata);
        details.add_bad_request_violation("content.sku", "is not known");
        let status = tonic::Status::with_error_details(
            tonic::Code::InvalidArgument,
            "there is no product 'x'",
            details,
        );
        let error = ClientError::from_status(&status, SERVER);
        assert!(error.is(Code::UnknownSku) && !error.retryable);
        assert_eq!(error.to_string(), "there is no product 'x'");
        assert_eq!(error.advice, "use one of a, b");
        assert_eq!(error.violations[0].field, "content.sku");
    }

    #[test]
    fn a_missing_server_is_said_to_be_missing() {
        let error = ClientError::from_status(&tonic::Status::unavailable("tcp"), SERVER);
        assert!(error.retryable && error.message.contains(SERVER));
        assert!(error.advice.contains("printmill up"));
    }

    #[test]
    fn a_connection_that_broke_is_worth_another_try() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let status = tonic::Status::from_error(Box::new(reset));
        let error = ClientError::from_status(&status, SERVER);
        assert!(error.retryable && error.is(Code::Unavailable), "{error:?}");
        let sent = tonic::Status::new(tonic::Code::Unknown, "something else");
        assert!(!ClientError::from_status(&sent, SERVER).retryable);
    }

    #[test]
    fn a_full_disk_is_told_at_once() {
        let error = ClientError::new(Code::StorageFull, "full", "");
        assert!(!error.retryable);
    }

    #[test]
    fn problem_details_of_a_link_are_read() {
        let body = br#"{"type":"x","status":403,"code":"LINK_EXPIRED","detail":"it is past","advice":"ask anew"}"#;
        let error = ClientError::from_http(StatusCode::FORBIDDEN, body);
        assert!(error.is(Code::LinkExpired));
        assert_eq!((error.message.as_str(), error.advice.as_str()), ("it is past", "ask anew"));
        let plain = ClientError::from_http(StatusCode::BAD_GATEWAY, b"<html>");
        assert!(plain.retryable);
    }
}
