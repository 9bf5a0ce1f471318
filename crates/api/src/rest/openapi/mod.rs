//! The OpenAPI 3.1 document, made from the same descriptors that REST is served from.

mod comments;
mod schemas;

use super::rules::{Rule, Rules};
use crate::errors::{PROBLEM_JSON, camel};
use comments::Comments;
use schemas::Schemas;
use serde_json::{Map, Value, json};
use url::Url;

/// The whole document.
pub(crate) fn document(rules: &Rules, public_url: &Url) -> Value {
    let comments = Comments::read(rules.pool());
    let mut schemas = Schemas::new(&comments);
    let mut paths = Map::new();
    for rule in rules.all() {
        let operation = operation(rule, &comments, &mut schemas);
        let path = paths.entry(path(rule)).or_insert_with(|| json!({}));
        path[rule.method.as_str().to_lowercase()] = operation;
    }
    file_paths(&mut paths, &mut schemas, rules);
    let mut schemas = schemas.finish();
    schemas.insert("HttpProblem".into(), problem_schema());
    let tags: Vec<_> = rules
        .pool()
        .services()
        .filter(|service| service.full_name().starts_with("printmill."))
        .map(|it| json!({ "name": it.name(), "description": comments.of(&it.parent_file(), it.path()) }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Printmill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Prints and media: assets, designs, quotes, orders, and the facilities \
                that make them. Every method is on gRPC as well.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": public_url.as_str().trim_end_matches('/') }],
        "security": [{ "apiKey": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, as in pmk_…",
                },
            },
            "responses": {
                "Problem": {
                    "description": "The request was refused (RFC 9457).",
                    "content": { PROBLEM_JSON: { "schema": reference("HttpProblem") } },
                },
            },
            "schemas": schemas,
        },
    })
}

/// A rule's path with the variables named as in JSON.
fn path(rule: &Rule) -> String {
    rule.variables().fold(rule.template.clone(), |path, name| {
        path.replace(&format!("{{{name}}}"), &format!("{{{}}}", camel(name)))
    })
}

fn operation(rule: &Rule, comments: &Comments, schemas: &mut Schemas) -> Value {
    let method = &rule.descriptor;
    let in_path: Vec<&str> = rule.variables().collect();
    let mut parameters = vec![];
    for field in rule.input().fields() {
        let in_path = in_path.contains(&field.name());
        if !in_path && rule.body {
            continue;
        }
        parameters.push(json!({
            "name": field.json_name(),
            "in": if in_path { "path" } else { "query" },
            "required": in_path,
            "description": comments.of(&field.parent_message().parent_file(), field.path()),
            "schema": schemas.field(&field),
        }));
    }
    let answer = reference(schemas.message(&rule.output()));
    let content = if rule.streams {
        json!({
            "application/x-ndjson": { "schema": answer },
            "text/event-stream": { "schema": { "type": "string" } },
        })
    } else {
        json!({ "application/json": { "schema": answer } })
    };
    let description = comments.of(&method.parent_service().parent_file(), method.path());
    let mut operation = json!({
        "operationId": method.name(),
        "tags": [method.parent_service().name()],
        "summary": description,
        "responses": {
            "200": { "description": "Done.", "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if rule.body {
        let schema = schemas.body(&rule.input(), &in_path);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// The two paths that are not methods: signed links lead there.
fn file_paths(paths: &mut Map<String, Value>, schemas: &mut Schemas, rules: &Rules) {
    let parameter = |name: &str, place: &str, required: bool| {
        json!({
            "name": name, "in": place, "required": required, "schema": { "type": "string" },
        })
    };
    let signed = ["expires", "signature"].map(|name| parameter(name, "query", true));
    let described = |first: [&str; 2], more: [Value; 2]| -> Value {
        let in_path = first.map(|name| parameter(name, "path", true));
        in_path.into_iter().chain(more).chain(signed.clone()).collect()
    };
    let bytes = json!({ "application/octet-stream": {} });
    let asset = rules.pool().get_message_by_name("printmill.v1.Asset");
    let asset = asset.map(|asset| reference(schemas.message(&asset)));
    let refused = json!({ "$ref": "#/components/responses/Problem" });
    let upload = described(
        ["merchant", "asset"],
        [parameter("size", "query", false), parameter("content-length", "header", false)],
    );
    paths.insert(
        "/v1/uploads/{merchant}/{asset}".into(),
        json!({ "put": {
            "operationId": "UploadFile",
            "summary": "Takes the bytes of an asset. CreateAsset answers the address.",
            "security": [],
            "parameters": upload,
            "requestBody": { "required": true, "content": bytes },
            "responses": {
                "200": {
                    "description": "Stored.",
                    "content": { "application/json": { "schema": asset } },
                },
                "default": refused,
            },
        } }),
    );
    let download = described(
        ["merchant", "sha256"],
        [parameter("name", "query", true), parameter("type", "query", true)],
    );
    paths.insert(
        "/v1/files/{merchant}/{sha256}".into(),
        json!({ "get": {
            "operationId": "DownloadFile",
            "summary": "Gives a file, or a range of it. Links answer the address.",
            "security": [],
            "parameters": download,
            "responses": {
                "200": { "description": "The file.", "content": bytes },
                "206": { "description": "The range asked for.", "content": bytes },
                "304": { "description": "The caller has it already." },
                "default": refused,
            },
        } }),
    );
}

fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "advice"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": text,
            "status": { "type": "integer" },
            "detail": text,
            "code": { "type": "string", "description": "The stable name, with a page in docs/errors." },
            "advice": { "type": "string", "description": "What to do." },
            "traceparent": text,
            "violations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": { "field": text, "description": text },
                },
            },
        },
    })
}

/// A reference to a schema.
fn reference(name: impl std::fmt::Display) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
