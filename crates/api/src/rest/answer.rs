//! From a gRPC answer to a REST answer: JSON, lines of JSON, or server-sent events.

use super::frames::{Messages, refusal};
use super::rules::Rule;
use crate::errors;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use printmill_domain::problem::Problem;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use std::convert::Infallible;
use std::time::Duration;

/// How often a quiet event stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The answer of a method that answers once.
pub(super) async fn unary(rule: &Rule, answer: Response<Body>) -> Result<Response<Body>, Problem> {
    if let Some(problem) = refusal(answer.headers()) {
        return Err(problem);
    }
    let mut messages = Messages::new(answer.into_body());
    let message = messages.next().await.unwrap_or_else(|| Err(errors::internal()))?;
    if let Some(Err(problem)) = messages.next().await {
        return Err(problem);
    }
    let json = json(&rule.output(), &message)?;
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The answer of a method that streams: server-sent events when asked for, else a line of JSON
/// for each message.
pub(super) fn stream(
    rule: &Rule,
    headers: &HeaderMap,
    answer: Response<Body>,
    traceparent: String,
) -> Result<Response<Body>, Problem> {
    if let Some(problem) = refusal(answer.headers()) {
        return Err(problem);
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let events = accept.is_some_and(|accept| accept.contains("text/event-stream"));
    let output = rule.output();
    let messages = Messages::new(answer.into_body());
    let parts = futures::stream::unfold(Some(messages), move |state| {
        let (output, traceparent) = (output.clone(), traceparent.clone());
        async move {
            let mut messages = state?;
            let next = if events {
                match tokio::time::timeout(KEEP_ALIVE, messages.next()).await {
                    Ok(next) => next?,
                    Err(_) => return Some((Bytes::from_static(b": alive\n\n"), Some(messages))),
                }
            } else {
                messages.next().await?
            };
            let next = next.and_then(|message| decode(&output, &message));
            match next.and_then(|message| Ok((place(&message), text(&message)?))) {
                Ok((id, json)) if events => {
                    Some((format!("{id}data: {json}\n\n").into(), Some(messages)))
                }
                Ok((_, json)) => Some((format!("{json}\n").into(), Some(messages))),
                Err(problem) => {
                    let body = errors::body(&problem, &traceparent);
                    let text = if events {
                        format!("event: problem\ndata: {body}\n\n")
                    } else {
                        format!("{}\n", serde_json::json!({ "problem": body }))
                    };
                    Some((text.into(), None))
                }
            }
        }
    });
    let parts = futures::StreamExt::map(parts, Ok::<Bytes, Infallible>);
    let mut response = Response::new(Body::from_stream(parts));
    let kind = if events { "text/event-stream" } else { "application/x-ndjson" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A message as canonical proto3 JSON, with empty fields written out.
pub(super) fn json(kind: &MessageDescriptor, message: &[u8]) -> Result<String, Problem> {
    text(&decode(kind, message)?)
}

fn decode(kind: &MessageDescriptor, message: &[u8]) -> Result<DynamicMessage, Problem> {
    DynamicMessage::decode(kind.clone(), message).map_err(|_| errors::internal())
}

/// The line that says where the stream goes on after a message; an `EventSource` sends it back
/// as `Last-Event-ID`.
fn place(message: &DynamicMessage) -> String {
    let places = ["seq", "sequence"].iter().filter_map(|name| message.get_field_by_name(name));
    let place = places.filter_map(|value| value.as_i64()).next();
    place.map(|place| format!("id: {place}\n")).unwrap_or_default()
}

fn text(message: &DynamicMessage) -> Result<String, Problem> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut text = vec![];
    let mut serializer = serde_json::Serializer::new(&mut text);
    message.serialize_with_options(&mut serializer, &options).map_err(|_| errors::internal())?;
    String::from_utf8(text).map_err(|_| errors::internal())
}
