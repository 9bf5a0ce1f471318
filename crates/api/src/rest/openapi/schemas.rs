//! JSON schemas of messages and enums, as canonical proto3 JSON writes them.

use super::comments::Comments;
use super::reference;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// Collects the schemas that are referred to.
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    found: Map<String, Value>,
}

impl<'a> Schemas<'a> {
    /// No schemas yet.
    pub(super) fn new(comments: &'a Comments) -> Self {
        Self { comments, found: Map::new() }
    }

    /// All that were referred to, by name.
    pub(super) fn finish(self) -> Map<String, Value> {
        self.found
    }

    /// Adds a message and what it refers to; gives its name.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> String {
        let name = message.name().to_owned();
        if !self.found.contains_key(&name) {
            // A place is kept first, since messages may refer to themselves.
            self.found.insert(name.clone(), Value::Null);
            let schema = self.object(message, &[]);
            self.found.insert(name.clone(), schema);
        }
        name
    }

    /// The schema of a request's body: the message without what stands in the path.
    pub(super) fn body(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let name = message.name().to_owned();
        let schema = self.object(message, without);
        self.found.insert(name.clone(), schema);
        reference(name)
    }

    /// The schema of a field's value.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let value = self.value(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": value }) } else { value }
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let mut properties = Map::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            let mut schema = self.field(&field);
            let comment = self.comments.of(&message.parent_file(), field.path());
            if !comment.is_empty() {
                schema["description"] = comment.into();
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        let comment = self.comments.of(&message.parent_file(), message.path());
        if !comment.is_empty() {
            schema["description"] = comment.into();
        }
        schema
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::Float => json!({ "type": "number", "format": "float" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]+$" })
            }
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(names) => reference(self.names(names)),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.Struct" => json!({ "type": "object" }),
                "google.protobuf.Value" => json!({}),
                _ => reference(self.message(message)),
            },
        }
    }

    fn names(&mut self, names: &EnumDescriptor) -> String {
        let values: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
        let comment = self.comments.of(&names.parent_file(), names.path());
        let schema = json!({ "type": "string", "enum": values, "description": comment });
        self.found.insert(names.name().to_owned(), schema);
        names.name().to_owned()
    }
}
