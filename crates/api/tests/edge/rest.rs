//! REST as clients see it: JSON, refusals, pages, repeated requests, events, the document.

use crate::world::{World, recipient};
use printmill_domain::problem::Code;
use serde_json::{Value, json};

#[tokio::test]
async fn json_is_canonical_and_empty_fields_are_written() {
    let world = World::new().await;
    let made = world.made(0, 0).await;
    let order = world.wire.get(&format!("/v1/orders/{}", made.order), world.key_of(0)).await;
    assert_eq!(order.header("content-type"), "application/json");
    let order = order.json();
    assert_eq!(order["state"], "ORDER_STATE_PAID");
    assert_eq!(order["recipient"]["postalCode"], "10115");
    assert!(order["sequence"].as_str().unwrap().parse::<u64>().unwrap() > 2, "{order}");
    assert_eq!(order["shipments"], json!([]));
    assert_eq!(order["createTime"], "2026-01-01T12:00:00Z");
    assert_eq!(order["items"][0]["line"]["unitPrice"]["currencyCode"], "EUR");
    assert_eq!(order["items"][0]["routeReason"], "it is near");
}

#[tokio::test]
async fn refusals_name_the_fields_as_json_does_and_the_trace() {
    let world = World::new().await;
    let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let more = [("traceparent", incoming), ("x-request-id", "mine")];
    let answer = world.wire.get_with("/v1/orders?pageSize=101", world.key_of(0), &more).await;
    assert_eq!((answer.code(), answer.status), (Code::InvalidArgument, 400));
    let body = answer.json();
    assert_eq!(body["violations"][0]["field"], "pageSize");
    assert_eq!(body["traceparent"], answer.header("traceparent"));
    assert_eq!(&answer.header("traceparent")[..35], &incoming[..35]);
    assert_ne!(answer.header("traceparent"), incoming);
    assert_eq!(answer.header("x-request-id"), "mine");

    let key = world.key_of(0);
    let items = json!([{ "printId": "prt_1", "quantity": 1 }]);
    let nobodys = json!([{ "printId": format!("prt_{}", "0".repeat(26)), "quantity": 1 }]);
    let recipient = json!({ "name": "A", "lines": [], "city": "", "country": "DE" });
    for (path, body, field) in [
        ("/v1/quotes", json!({ "items": items, "country": "DE" }), "items[0].printId"),
        ("/v1/quotes", json!({ "items": [] }), "items"),
        ("/v1/quotes", json!({ "items": nobodys, "currency": "XXX" }), "currency"),
        ("/v1/orders", json!({ "recipient": recipient }), "items"),
        ("/v1/orders", json!({ "items": items, "quoteId": "quo_1" }), "quoteId"),
        ("/v1/prints", json!({ "content": { "sku": "x" } }), "content.pages"),
        ("/v1/assets", json!({ "fileName": "" }), "fileName"),
        ("/v1/assets", json!({ "fileName": "a", "sha256": "ab" }), "sha256"),
        ("/v1/assets", json!({ "fileName": "a", "requestId": "x".repeat(101) }), "requestId"),
    ] {
        let answer = world.wire.post(path, key, body.clone()).await;
        assert_eq!(answer.code(), Code::InvalidArgument, "{body}");
        assert_eq!(answer.json()["violations"][0]["field"], field, "{body}");
    }
    let asset = world.asset(0).await;
    let layout = json!({ "assetIds": [asset], "pageCount": 7 });
    let content = json!({ "sku": "magazine-a5-stapled", "autoLayout": layout });
    let answer = world.wire.post("/v1/prints", key, json!({ "content": content })).await;
    assert_eq!(answer.code(), Code::PageCountOutOfRange);
    assert_eq!(answer.json()["violations"][0]["field"], "content.autoLayout.pageCount");
}

#[tokio::test]
async fn bodies_and_queries_that_cannot_be_read_are_refused() {
    let world = World::new().await;
    let key = world.key_of(0);
    for body in [json!([]), json!({ "fileName": 7 }), json!({ "unknown": 1 }), json!("x")] {
        let answer = world.wire.post("/v1/assets", key, body.clone()).await;
        assert_eq!(answer.code(), Code::InvalidArgument, "{body}");
    }
    for query in ["unknown=1", "pageSize=x", "pageSize=1&pageSize=2", "state=NO_SUCH_STATE"] {
        let answer = world.wire.get(&format!("/v1/orders?{query}"), key).await;
        assert_eq!(answer.code(), Code::InvalidArgument, "{query}");
    }
    let answer = world.wire.get("/v1/orders?page_size=2&state=ORDER_STATE_PAID", key).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn pages_lead_through_a_list_once_and_tokens_are_checked() {
    let world = World::new().await;
    let key = world.key_of(0);
    let mut made = vec![];
    for index in 0..5 {
        let body = json!({ "fileName": format!("{index}.jpg") });
        let asset = world.wire.post("/v1/assets", key, body).await.json();
        made.push(asset["asset"]["id"].clone());
    }
    made.sort_by_key(|id| std::cmp::Reverse(id.to_string()));
    let (mut seen, mut token) = (vec![], String::new());
    loop {
        let path = format!("/v1/assets?pageSize=2&pageToken={token}");
        let page = world.wire.get(&path, key).await.json();
        seen.extend(page["assets"].as_array().unwrap().iter().map(|asset| asset["id"].clone()));
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, made);
    for bad in ["x", "!!!", "b3JkXzE", "YXN0XzE"] {
        let answer = world.wire.get(&format!("/v1/assets?pageToken={bad}"), key).await;
        assert_eq!(answer.code(), Code::InvalidArgument, "{bad}");
        assert_eq!(answer.json()["violations"][0]["field"], "pageToken");
    }
}

#[tokio::test]
async fn a_repeated_request_answers_the_same_and_a_changed_one_is_refused() {
    let world = World::new().await;
    let key = world.key_of(0);
    let body = |name: &str| json!({ "fileName": name, "requestId": "r1" });
    let first = world.wire.post("/v1/assets", key, body("a.jpg")).await.json();
    let again = world.wire.post("/v1/assets", key, body("a.jpg")).await.json();
    assert_eq!(first["asset"], again["asset"]);
    let by_grpc = world.wire.call("AssetService/CreateAsset", key, body("a.jpg")).await.unwrap();
    assert_eq!(by_grpc[0]["asset"]["id"], first["asset"]["id"]);
    let other = world.wire.post("/v1/assets", key, body("b.jpg")).await;
    assert_eq!((other.code(), other.status), (Code::RequestIdReused, 409));
    let strangers = world.wire.post("/v1/assets", world.key_of(1), body("b.jpg")).await;
    assert_eq!(strangers.status, 200);
}

#[tokio::test]
async fn an_etag_of_an_older_version_is_refused() {
    let world = World::new().await;
    let key = world.key_of(0);
    let asset = world.asset(0).await;
    let print = world.print(0, &asset).await;
    let path = format!("/v1/prints/{print}:revise");
    let layout = json!({ "assetIds": [asset], "pageCount": 12 });
    let content = json!({ "sku": "magazine-a5-stapled", "title": "2", "autoLayout": layout });
    let body = |etag: &str| json!({ "content": content, "etag": etag });
    let revised = world.wire.post(&path, key, body("1")).await.json();
    assert_eq!((&revised["revision"], &revised["etag"]), (&json!(2), &json!("2")));
    assert_eq!(world.wire.post(&path, key, body("1")).await.code(), Code::Conflict);
    assert_eq!(world.wire.post(&path, key, body("W/x")).await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn validate_only_prices_and_stores_nothing() {
    let world = World::new().await;
    let key = world.key_of(0);
    let asset = world.asset(0).await;
    let print = world.print(0, &asset).await;
    let items = json!([{ "printId": print, "quantity": 3 }]);
    let body = json!({ "items": items, "recipient": recipient(), "validateOnly": true });
    let order = world.wire.post("/v1/orders", key, body).await.json();
    assert!(order["total"]["units"].as_str().is_some_and(|units| units != "0"), "{order}");
    assert_eq!(world.wire.get("/v1/orders", key).await.json()["orders"], json!([]));
}

#[tokio::test]
async fn a_watch_gives_what_happened_and_ends_when_the_order_does() {
    let world = World::new().await;
    let key = world.key_of(0);
    let asset = world.asset(0).await;
    let print = world.print(0, &asset).await;
    let items = json!([{ "printId": print, "quantity": 1 }]);
    let body = json!({ "items": items, "recipient": recipient() });
    let order = world.wire.post("/v1/orders", key, body).await.json();
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let watch = format!("{path}:watch");
    let watching = world.wire.get(&watch, key);
    let cancel = format!("{path}:cancel");
    let cancelling = world.wire.post(&cancel, key, json!({}));
    let (watched, cancelled) = tokio::join!(watching, cancelling);
    assert_eq!(cancelled.json()["state"], "ORDER_STATE_CANCELLED");
    assert_eq!(watched.header("content-type"), "application/x-ndjson");
    let lines = String::from_utf8(watched.body.to_vec()).unwrap();
    let events: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<_> = events.iter().map(|event| event["sequence"].clone()).collect();
    let whole: Vec<_> = (1..=events.len()).map(|at| json!(at.to_string())).collect();
    assert_eq!(sequences, whole);
    assert_eq!(events[0]["kind"], "order.placed");
    assert_eq!(events.last().unwrap()["kind"], "order.cancelled");

    let more = [("accept", "text/event-stream")];
    let from = format!("{watch}?afterSequence=1");
    let watched = world.wire.get_with(&from, key, &more).await;
    let text = String::from_utf8(watched.body.to_vec()).unwrap();
    assert_eq!(text.matches("data: ").count(), events.len() - 1, "{text}");
    let listed = world.wire.get(&format!("{path}/events?afterSequence=1"), key).await.json();
    assert_eq!(listed["events"].as_array().unwrap()[..], events[1..]);
}

#[tokio::test]
async fn the_document_has_every_method_at_its_place() {
    let world = World::new().await;
    let document = world.wire.get("/openapi.json", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = std::collections::BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id}");
            for name in path.split(['{', '}']).skip(1).step_by(2) {
                let parameters = operation["parameters"].as_array().unwrap();
                let declared = |it: &Value| it["name"] == name && it["in"] == "path";
                assert!(parameters.iter().any(declared), "{path} {name}");
            }
            assert_eq!(operations.insert(id, format!("{method} {path}")), None);
        }
    }
    for method in world.wire.methods() {
        assert!(operations.contains_key(method.name()), "{}", method.full_name());
    }
    assert_eq!(operations["PayOrder"], "post /v1/orders/{orderId}:pay");
    assert_eq!(operations["GetItemFile"], "get /v1/orders/{orderId}/items/{itemId}/file");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    let references = text.split("#/components/schemas/").skip(1);
    for name in references.map(|rest| rest.split('"').next().unwrap()) {
        assert!(schemas.get(name).is_some_and(Value::is_object), "{name}");
    }
    assert!(schemas["PayOrderRequest"]["properties"].get("orderId").is_none());
    assert_eq!(schemas["Order"]["properties"]["sequence"]["type"], "string");
}
