//! Refusals on the wire: `google.rpc.Status` with details on gRPC, RFC 9457 on REST. This is the
//! only place where codes become statuses.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use printmill_domain::problem::{Class, Code, Problem, Violation};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "printmill";
/// The most field violations that an answer names; gRPC carries them in a header.
const VIOLATIONS_MAX: usize = 16;
/// The most characters of a message or advice.
const TEXT_MAX: usize = 500;
/// The media type of RFC 9457.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The page that explains a code.
pub(crate) fn page(code: Code) -> String {
    format!("docs/errors/{code}.md")
}

/// A refusal as gRPC says it.
pub(crate) fn status(problem: &Problem) -> Status {
    let message = clip(&problem.message);
    let metadata = HashMap::from([("advice".to_owned(), clip(&problem.advice))]);
    let mut details = ErrorDetails::with_error_info(problem.code.text(), DOMAIN, metadata);
    details.add_help_link("what this code means", page(problem.code));
    for violation in problem.violations.iter().take(VIOLATIONS_MAX) {
        details.add_bad_request_violation(clip(&violation.field), clip(&violation.description));
    }
    if problem.code.retryable() {
        details.set_retry_info(Some(Duration::from_secs(1)));
    }
    Status::with_error_details(grpc_code(problem.code), message, details)
}

/// The refusal that a status carries. Statuses of the gRPC machinery itself, which carry none,
/// become the nearest refusal of ours.
pub(crate) fn problem(status: &Status) -> Problem {
    let details = status.get_error_details();
    let ours = details.error_info().and_then(|info| {
        let code = Code::parse(&info.reason).filter(|_| info.domain == DOMAIN)?;
        let advice = info.metadata.get("advice").cloned().unwrap_or_default();
        Some(Problem::new(code, status.message(), advice))
    });
    let mut problem = ours.unwrap_or_else(|| foreign(status));
    if let Some(request) = details.bad_request() {
        problem.violations = request
            .field_violations
            .iter()
            .map(|violation| Violation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            })
            .collect();
    }
    problem
}

fn foreign(status: &Status) -> Problem {
    let message = status.message();
    let undecodable = message.contains("decode") || message.contains("Decode");
    match status.code() {
        tonic::Code::Unimplemented => unknown_method("the server"),
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => too_large(),
        tonic::Code::InvalidArgument => unreadable(message),
        tonic::Code::Internal if undecodable => unreadable("the message cannot be decoded"),
        tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => out_of_time(),
        tonic::Code::Unavailable => busy(),
        tonic::Code::NotFound => Problem::new(Code::NotFound, message, "check the name"),
        _ => internal(),
    }
}

/// There is no such method or path.
pub(crate) fn unknown_method(what: &str) -> Problem {
    Problem::new(
        Code::UnknownMethod,
        format!("{} has no such method or path", clip(what)),
        "see /openapi.json for paths, or ask gRPC reflection for methods",
    )
}

/// The request is not written as it should be.
pub(crate) fn unreadable(why: &str) -> Problem {
    let advice = "write the request as /openapi.json describes it";
    Problem::new(Code::InvalidArgument, clip(why), advice)
}

/// The message is larger than the limit.
pub(crate) fn too_large() -> Problem {
    Problem::new(
        Code::RequestTooLarge,
        format!("the message is larger than {} MiB", crate::options::MESSAGE_BYTES_MAX >> 20),
        "send less at once; files go to the address that CreateAsset answers",
    )
}

/// The deadline passed, or the node is leaving.
pub(crate) fn out_of_time() -> Problem {
    Problem::new(
        Code::Cancelled,
        "the request was not answered in time",
        "try again with the same request id",
    )
}

/// Too much is asked at the same time.
pub(crate) fn busy() -> Problem {
    Problem::new(
        Code::Unavailable,
        "too many requests are being served just now",
        "try again in a moment with the same request id",
    )
}

/// A fault of Printmill.
pub(crate) fn internal() -> Problem {
    Problem::new(
        Code::Internal,
        "something went wrong inside",
        "try again; if it stays, give the operator the traceparent and this code",
    )
}

fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::UnknownMethod => return tonic::Code::Unimplemented,
        Code::RangeNotSatisfiable | Code::CursorExpired => return tonic::Code::OutOfRange,
        Code::Conflict => return tonic::Code::Aborted,
        _ => {}
    }
    match code.class() {
        Class::Invalid => tonic::Code::InvalidArgument,
        Class::NotFound => tonic::Code::NotFound,
        Class::Precondition => tonic::Code::FailedPrecondition,
        Class::Conflict => tonic::Code::AlreadyExists,
        Class::Unauthenticated => tonic::Code::Unauthenticated,
        Class::Forbidden => tonic::Code::PermissionDenied,
        Class::TooLarge => tonic::Code::ResourceExhausted,
        Class::Unavailable => tonic::Code::Unavailable,
        Class::Cancelled => tonic::Code::DeadlineExceeded,
        Class::Internal => tonic::Code::Internal,
    }
}

/// The HTTP status of a code.
pub(crate) fn http_status(code: Code) -> StatusCode {
    if code == Code::RangeNotSatisfiable {
        return StatusCode::RANGE_NOT_SATISFIABLE;
    }
    if code == Code::CursorExpired {
        return StatusCode::GONE;
    }
    match code.class() {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Precondition | Class::Conflict => StatusCode::CONFLICT,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A refusal as RFC 9457 says it. Fields are named as in JSON.
pub(crate) fn body(problem: &Problem, traceparent: &str) -> Value {
    body_with(problem, http_status(problem.code), traceparent)
}

fn body_with(problem: &Problem, status: StatusCode, traceparent: &str) -> Value {
    let mut body = json!({
        "type": page(problem.code),
        "title": title(problem.code),
        "status": status.as_u16(),
        "detail": problem.message,
        "code": problem.code,
        "advice": problem.advice,
        "traceparent": traceparent,
    });
    if !problem.violations.is_empty() {
        body["violations"] = problem
            .violations
            .iter()
            .map(|it| json!({ "field": camel(&it.field), "description": it.description }))
            .collect();
    }
    body
}

/// The whole answer to a REST request that is refused.
pub(crate) fn response(problem: &Problem, traceparent: &str) -> Response<Body> {
    response_with(problem, http_status(problem.code), traceparent)
}

/// The answer to a REST request whose path exists, but not with its method.
pub(crate) fn method_not_allowed(problem: &Problem, traceparent: &str) -> Response<Body> {
    response_with(problem, StatusCode::METHOD_NOT_ALLOWED, traceparent)
}

fn response_with(problem: &Problem, status: StatusCode, traceparent: &str) -> Response<Body> {
    let body = body_with(problem, status, traceparent);
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if problem.code.class() == Class::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.code.retryable() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn title(code: Code) -> String {
    let text = code.text().to_lowercase().replace('_', " ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// A field path in lowerCamelCase, as JSON has it.
pub(crate) fn camel(path: &str) -> String {
    let mut result = String::with_capacity(path.len());
    let mut raise = false;
    for letter in path.chars() {
        match letter {
            '_' => raise = true,
            _ if raise => {
                result.push(letter.to_ascii_uppercase());
                raise = false;
            }
            _ => result.push(letter),
        }
    }
    result
}

fn clip(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_a_status() {
        for code in Code::ALL {
            let mut before = Problem::new(*code, "it broke", "mend it");
            before.violations =
                vec![Violation { field: "a_b[0].c".into(), description: "is wrong".into() }];
            let status = status(&before);
            assert_eq!(problem(&status), before);
            let info = status.get_error_details();
            assert_eq!(info.retry_info().is_some(), code.retryable(), "{code}");
            assert!(http_status(*code).as_u16() >= 400);
        }
    }

    #[test]
    fn json_names_fields_as_json_does() {
        let problem = Problem::invalid_field("items[0].print_id", "is missing");
        let body = body(&problem, "00-1-2-01");
        assert_eq!(body["violations"][0]["field"], "items[0].printId");
        assert_eq!(body["status"], 400);
        assert_eq!(body["title"], "Invalid argument");
        assert_eq!(body["type"], "docs/errors/INVALID_ARGUMENT.md");
    }

    #[test]
    fn a_status_of_the_machinery_becomes_a_code() {
        let cases = [
            (Status::unimplemented(""), Code::UnknownMethod),
            (Status::out_of_range("too large"), Code::RequestTooLarge),
            (Status::internal("failed to decode Protobuf message"), Code::InvalidArgument),
            (Status::unknown("?"), Code::Internal),
        ];
        for (status, code) in cases {
            assert_eq!(problem(&status).code, code);
        }
    }
}
