//! From a REST request to the message: body, query and path become one JSON object, which is read
//! as canonical proto3 JSON.

use super::rules::Rule;
use crate::errors;
use http::request::Parts;
use printmill_domain::problem::Problem;
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

/// The most query parameters of a request.
const QUERY_PAIRS_MAX: usize = 50;

/// The encoded message of a request.
pub(super) fn message(
    rule: &Rule,
    variables: Vec<(String, String)>,
    parts: &Parts,
    body: &[u8],
) -> Result<Vec<u8>, Problem> {
    let input = rule.input();
    let mut object = if rule.body { read_body(body)? } else { Map::new() };
    for (name, value) in query(parts)? {
        let field = field(&input, &name).filter(|_| !rule.body);
        let field = field.ok_or_else(|| {
            Problem::invalid_field(name, "is not a query parameter of this method")
        })?;
        set(&mut object, &field, value)?;
    }
    for (name, value) in variables {
        let field = field(&input, &name).ok_or_else(errors::internal)?;
        object.remove(field.name());
        object.remove(field.json_name());
        set(&mut object, &field, value)?;
    }
    if let Some(key) = idempotency_key(parts)?
        && let Some(field) = input.get_field_by_name("request_id")
        && !object.contains_key(field.name())
        && !object.contains_key(field.json_name())
    {
        set(&mut object, &field, key)?;
    }
    resume(&input, parts, &mut object)?;
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(input, Value::Object(object), &options)
        .map_err(|error| errors::unreadable(&format!("the request cannot be read: {error}")))?;
    Ok(message.encode_to_vec())
}

fn read_body(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(errors::unreadable("the body must be a JSON object")),
        Err(error) => Err(errors::unreadable(&format!("the body is not JSON: {error}"))),
    }
}

fn query(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let text = parts.uri.query().unwrap_or_default();
    let pairs: Vec<_> = url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .take(QUERY_PAIRS_MAX + 1)
        .collect();
    if pairs.len() > QUERY_PAIRS_MAX {
        return Err(errors::unreadable("the query has too many parameters"));
    }
    Ok(pairs)
}

/// The fields that say where a stream goes on.
const RESUMING: [&str; 2] = ["after_seq", "after_sequence"];

/// A browser's `EventSource` repeats its first request and says in a header how far it got. That
/// counts, whatever the query says.
fn resume(
    input: &MessageDescriptor,
    parts: &Parts,
    object: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let Some(value) = parts.headers.get("last-event-id") else { return Ok(()) };
    let mut fields = RESUMING.iter().filter_map(|name| input.get_field_by_name(name));
    let Some(field) = fields.next() else { return Ok(()) };
    let text = value.to_str().map_err(|_| errors::unreadable("Last-Event-ID is not text"))?;
    for name in [field.name(), field.json_name(), "since"] {
        object.remove(name);
    }
    set(object, &field, text.to_owned())
}

fn idempotency_key(parts: &Parts) -> Result<Option<String>, Problem> {
    let Some(value) = parts.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| errors::unreadable("the idempotency key is not text"))?;
    Ok(Some(text.trim_matches('"').to_owned()))
}

/// A field by its proto or JSON name.
fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// Sets a field from text. Numbers stay text, which proto3 JSON reads as well.
fn set(
    object: &mut Map<String, Value>,
    field: &FieldDescriptor,
    text: String,
) -> Result<(), Problem> {
    let wrong = |what: &str| Problem::invalid_field(field.name(), format!("must be {what}"));
    let value = match field.kind() {
        Kind::String => Value::String(text),
        Kind::Bool => Value::Bool(text.parse().map_err(|_| wrong("true or false"))?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::from(text.parse::<i32>().map_err(|_| wrong("a whole number"))?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Value::from(text.parse::<u32>().map_err(|_| wrong("a whole number, not negative"))?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::from(text.parse::<i64>().map_err(|_| wrong("a whole number"))?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Value::from(text.parse::<u64>().map_err(|_| wrong("a whole number, not negative"))?)
        }
        Kind::Enum(names) => {
            names.get_value_by_name(&text).ok_or_else(|| {
                let known: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
                wrong(&format!("one of {}", known.join(", ")))
            })?;
            Value::String(text)
        }
        // Canonical JSON has it as text.
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            Value::String(text)
        }
        _ => return Err(wrong("sent in the body")),
    };
    if field.is_list() {
        let list =
            object.entry(field.json_name().to_owned()).or_insert_with(|| Value::Array(vec![]));
        if let Value::Array(list) = list {
            list.push(value);
        }
    } else if object.insert(field.json_name().to_owned(), value).is_some() {
        return Err(wrong("given once"));
    }
    Ok(())
}
