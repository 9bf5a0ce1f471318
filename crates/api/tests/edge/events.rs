//! The event log from outside: whose events, which of them, from where on, and how slowly they may be read.

use crate::world::{World, recipient};
use axum::body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use printmill_backend::{Change, Clock, Database};
use printmill_domain::event::EventDraft;
use printmill_domain::problem::Code;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A stream of server-sent events that is read piece by piece.
struct Watching {
    body: Body,
    text: String,
}

impl Watching {
    async fn open(world: &World, path: &str, merchant: usize, more: &[(&str, &str)]) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
        let url = format!("http://{}{path}", world.wire.address);
        let mut request = http::Request::get(url)
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {}", world.key_of(merchant)));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let answer = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { body: Body::new(answer.into_body()), text: String::new() }
    }

    /// The next message: its id line and its content.
    async fn next(&mut self) -> (String, Value) {
        let next = async {
            loop {
                if let Some((message, rest)) = self.text.split_once("\n\n") {
                    let (message, rest) = (message.to_owned(), rest.to_owned());
                    self.text = rest;
                    let id = message.lines().find_map(|line| line.strip_prefix("id: "));
                    let data = message.lines().find_map(|line| line.strip_prefix("data: "));
                    let data = serde_json::from_str(data.unwrap()).unwrap();
                    return (id.unwrap_or_default().to_owned(), data);
                }
                let frame = self.body.frame().await.expect("the watch goes on").unwrap();
                let data = frame.into_data().unwrap();
                self.text.push_str(std::str::from_utf8(&data).unwrap());
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("a message comes")
    }

    /// The next event, with signs of life left out.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let (id, data) = self.next().await;
            if data["event"].is_object() {
                return (id, data["event"].clone());
            }
        }
    }
}

/// Commits an event in an order's stream of a merchant, whether there is such an order or not.
async fn happen(
    world: &World,
    merchant: usize,
    number: u128,
    sequence: u64,
    kind: &str,
    size: usize,
) {
    let mut change = Change::new(world.merchants[merchant].0, world.clock.now());
    let stream = format!("ord_{number:0>26}");
    let (subject, data) = (stream.clone(), json!({ "text": "x".repeat(size) }));
    change.events = vec![EventDraft { stream, sequence, kind: kind.into(), subject, data }];
    world.database.commit(change).await.unwrap();
}

async fn order(world: &World, merchant: usize) -> String {
    let asset = world.asset(merchant).await;
    let print = world.print(merchant, &asset).await;
    let items = json!([{ "printId": print, "quantity": 1 }]);
    let body = json!({ "items": items, "recipient": recipient() });
    let order = world.wire.post("/v1/orders", world.key_of(merchant), body).await.json();
    order["id"].as_str().unwrap().to_owned()
}

/// Waits until so many events are in the log.
async fn until_head(world: &World, head: u64) {
    let waiting = async {
        while world.database.head().await.unwrap() < head {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap();
}

async fn list(world: &World, merchant: usize, query: &str) -> Value {
    let path = format!("/v1/events?{query}");
    world.wire.get(&path, world.key_of(merchant)).await.json()
}

fn kinds(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_have_the_merchants_own_events_by_kind_and_stream_page_by_page() {
    let world = World::new().await;
    let mine = order(&world, 0).await;
    let others = order(&world, 1).await;
    // Of each: announced, uploaded, ready; the print made; the order placed.
    let head = 10;
    until_head(&world, head).await;
    let all = list(&world, 0, "").await;
    let text = all.to_string();
    assert!(text.contains(&mine) && !text.contains(&others), "{text}");
    assert_eq!(kinds(&all).last(), Some(&"order.placed"), "{all}");
    assert_eq!((&all["more"], &all["seq"]), (&json!(false), &json!(head.to_string())));
    let of_order = list(&world, 0, &format!("stream={mine}")).await;
    assert_eq!(kinds(&of_order), ["order.placed"]);
    assert_eq!(of_order["events"][0]["stream"], mine);
    let of_kinds = list(&world, 0, "kinds=print.created&kinds=asset.ready").await;
    assert_eq!(kinds(&of_kinds), ["asset.ready", "print.created"]);
    let (mut paged, mut after) = (vec![], "0".to_owned());
    loop {
        let page = list(&world, 0, &format!("pageSize=2&afterSeq={after}")).await;
        paged.extend(page["events"].as_array().unwrap().clone());
        after = page["seq"].as_str().unwrap().to_owned();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(json!(paged), all["events"]);
    let since = list(&world, 0, "since=2026-01-01T12:00:00Z").await;
    assert_eq!(since["events"], all["events"], "the clock stands");
    let later = list(&world, 0, "since=2026-01-01T12:00:00.000001Z").await;
    assert_eq!(later["events"], json!([]));
}

#[tokio::test]
async fn a_watch_begins_now_goes_on_where_it_stopped_and_shows_nobody_elses() {
    let world = World::new().await;
    happen(&world, 0, 1, 1, "order.before", 0).await;
    until_head(&world, 1).await;
    let mut live = Watching::open(&world, "/v1/events:watch", 0, &[]).await;
    let (id, first) = live.next().await;
    assert_eq!((id.as_str(), &first["seq"]), ("1", &json!("1")), "it says where it begins");
    assert!(first.get("event").is_none_or(Value::is_null), "{first}");
    happen(&world, 1, 9, 1, "order.secret", 0).await;
    happen(&world, 0, 1, 2, "order.one", 0).await;
    happen(&world, 0, 1, 3, "order.two", 0).await;
    let (id, event) = live.event().await;
    assert_eq!((id.as_str(), &event["kind"]), ("3", &json!("order.one")));
    drop(live);
    // As a browser does: the first request again, and how far it got in a header.
    let path = "/v1/events:watch?since=2020-01-01T00:00:00Z";
    let mut again = Watching::open(&world, path, 0, &[("last-event-id", &id)]).await;
    assert_eq!(again.event().await.1["kind"], "order.two");
    happen(&world, 0, 1, 4, "order.three", 0).await;
    assert_eq!(again.event().await.1["kind"], "order.three");
    let mut from_start = Watching::open(&world, "/v1/events:watch?afterSeq=0", 1, &[]).await;
    let (id, event) = from_start.event().await;
    assert_eq!((id.as_str(), &event["kind"]), ("2", &json!("order.secret")));
    let mut since = Watching::open(&world, path, 0, &[]).await;
    assert_eq!(since.event().await.1["kind"], "order.before");
}

#[tokio::test]
async fn filters_hold_and_the_cursor_moves_when_everything_is_filtered_away() {
    let world = World::with(|options| options.heartbeat = Duration::from_millis(20)).await;
    let path = "/v1/events:watch?kinds=order.wanted&kinds=order.rare";
    let mut watching = Watching::open(&world, path, 0, &[]).await;
    for sequence in 1..=250 {
        happen(&world, 0, 1, sequence, "order.other", 0).await;
    }
    // By signs of life alone.
    while watching.next().await.0 != "250" {}
    happen(&world, 1, 2, 1, "order.wanted", 0).await;
    happen(&world, 0, 1, 251, "order.rare", 0).await;
    let (id, event) = watching.event().await;
    assert_eq!((id.as_str(), &event["kind"]), ("252", &json!("order.rare")));
}

#[tokio::test]
async fn a_slow_reader_gets_everything_and_slows_nobody() {
    let world = World::new().await;
    let mut slow = Watching::open(&world, "/v1/events:watch?afterSeq=0", 0, &[]).await;
    let mut quick = Watching::open(&world, "/v1/events:watch?afterSeq=0", 0, &[]).await;
    // More than connections and batches hold: the rest waits in the log.
    for sequence in 1..=1_500 {
        happen(&world, 0, 1, sequence, "order.noted", 8_000).await;
    }
    for sequence in 1..=1_500 {
        assert_eq!(quick.event().await.1["sequence"], sequence.to_string());
    }
    for sequence in 1..=1_500 {
        assert_eq!(slow.event().await.1["sequence"], sequence.to_string());
    }
}

#[tokio::test]
async fn places_and_filters_that_make_no_sense_are_refused() {
    let world = World::new().await;
    happen(&world, 0, 1, 1, "order.noted", 0).await;
    until_head(&world, 1).await;
    let strange = format!("ord_{:0>26}", 1);
    for (query, code) in [
        ("afterSeq=-1", Code::InvalidArgument),
        ("afterSeq=2", Code::InvalidArgument),
        ("afterSeq=1&since=2026-01-01T00:00:00Z", Code::InvalidArgument),
        ("since=yesterday", Code::InvalidArgument),
        ("kinds=ORDER'--", Code::InvalidArgument),
        (&"kinds=a&".repeat(21), Code::InvalidArgument),
        ("stream=ord_1", Code::InvalidArgument),
        ("stream=mer_00000000000000000000000001", Code::InvalidArgument),
        (&format!("stream={strange}"), Code::NotFound),
    ] {
        for path in ["/v1/events", "/v1/events:watch"] {
            let answer = world.wire.get(&format!("{path}?{query}"), world.key_of(0)).await;
            assert_eq!(answer.code(), code, "{path}?{query}");
        }
    }
    let more = [("last-event-id", "x")];
    let answer = world.wire.get_with("/v1/events:watch", world.key_of(0), &more).await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    let day = world.wire.get("/v1/events/counts?pageToken=x", world.key_of(0)).await;
    assert_eq!(day.code(), Code::InvalidArgument);
}
