//! Workers outside: they announce themselves, hear what is wanted of them, and get tickets as they
//! come; on gRPC and REST.

use crate::stream::{Protocol, Stream};
use crate::world::World;
use printmill_backend::change::{Change, TicketGuard, TicketWrite};
use printmill_backend::{Clock, Database, fresh};
use printmill_domain::api_key::Scope;
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::{Ticket, TicketState};
use printmill_domain::ticket_history::AttemptEnd;
use printmill_domain::worker::HEED;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const KIND: &str = "thumbnail.make";
const LANE: &str = "functions";
const WORKERS: &str = "/v1/operations/workers";

async fn world() -> (World, String) {
    // Signs of life often, so that tests see when nothing else comes.
    let world = World::with(|options| options.heartbeat = Duration::from_millis(50)).await;
    let key = world.key(worker(&[KIND], &[LANE, "more"])).await;
    (world, key)
}

fn worker(kinds: &[&str], lanes: &[&str]) -> Scope {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Scope::Worker { kinds: all(kinds), lanes: all(lanes) }
}

/// Makes a ticket that somebody outside is to do, and sends it.
async fn ticket(world: &World, payload: Value) -> TicketId {
    let (merchant, now) = (world.merchants[0].0, world.clock.now());
    let (lane, id) = (Lane::parse(LANE).unwrap(), fresh::id(now));
    let ticket = Ticket::new(id, merchant, lane.clone(), KIND, payload, now);
    let mut change = Change::new(merchant, now);
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    world.database.commit(change).await.unwrap();
    world.send(&lane, id).await;
    id
}

async fn stored(world: &World, id: TicketId) -> Ticket {
    world.database.tickets(&[id]).await.unwrap().remove(0)
}

async fn leased(world: &World, ids: &[TicketId]) -> usize {
    let found = world.database.tickets(ids).await.unwrap();
    found.iter().filter(|ticket| ticket.state == TicketState::Leased).count()
}

/// Waits until that is so.
async fn until(wanted: impl AsyncFn() -> bool) {
    let waiting = async {
        while !wanted().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("it comes to that");
}

fn announcement(worker_id: &str) -> Value {
    let lanes = json!([{ "lane": LANE, "concurrency": 2 }]);
    json!({ "workerId": worker_id, "name": "gpu-7", "version": "3", "lanes": lanes })
}

/// A worker that announced itself; its stream and id.
async fn announced(world: &World, protocol: Protocol, key: &str) -> (Stream, String) {
    let opened = Stream::open(world, protocol, "ControlWork", key, announcement("")).await;
    let mut control = opened.expect("it may");
    let first = control.next().await.unwrap();
    assert!(first["orders"].is_object(), "{first}");
    (control, first["workerId"].as_str().unwrap().to_owned())
}

async fn steer(world: &World, operator: &str, id: &str, wish: Value) -> Value {
    let answer = world.wire.post(&format!("{WORKERS}/{id}:update"), operator, wish).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn listed(world: &World, operator: &str) -> Value {
    let all = format!("{WORKERS}?includeGone=true");
    world.wire.get(&all, operator).await.json()["workers"][0].clone()
}

fn wanted(orders: &Value) -> (bool, u64, bool) {
    let lane = &orders["lanes"][0];
    let truth = |value: &Value| value.as_bool().unwrap_or_default();
    (truth(&orders["draining"]), lane["concurrency"].as_u64().unwrap_or(0), truth(&lane["paused"]))
}

#[tokio::test]
async fn a_worker_announces_itself_and_hears_what_operators_want_of_it() {
    for protocol in Protocol::ALL {
        let (world, key) = world().await;
        let operator = world.key(Scope::Operator).await;
        let (mut control, id) = announced(&world, protocol, &key).await;
        let seen = listed(&world, &operator).await;
        assert_eq!((&seen["workerId"], &seen["host"]), (&json!(id), &json!("gpu-7")));
        assert_eq!((&seen["outside"], &seen["kinds"]), (&json!(true), &json!([KIND])));
        assert_eq!(seen["state"], "WORKER_STATE_SERVING");
        assert_eq!(seen["lanes"][0]["configuredConcurrency"], 2);

        steer(&world, &operator, &id, json!({ "draining": true })).await;
        let told = control.next_with("orders").await.unwrap();
        assert_eq!(wanted(&told["orders"]), (true, 0, false));
        assert_eq!(listed(&world, &operator).await["heeded"], false);
        let report = json!({ "workerId": id, "revision": told["orders"]["revision"] });
        let answer = world.wire.post("/v1/work:report", &key, report).await.json();
        assert_eq!(wanted(&answer["orders"]), (true, 0, false));
        let seen = listed(&world, &operator).await;
        assert_eq!(
            (&seen["heeded"], &seen["state"]),
            (&json!(true), &json!("WORKER_STATE_DRAINING"))
        );

        let wish = json!({ "draining": false, "lanes": [{ "lane": LANE, "concurrency": 5 }] });
        steer(&world, &operator, &id, wish).await;
        let told = control.next_with("orders").await.unwrap();
        assert_eq!(wanted(&told["orders"]), (false, 5, false));

        // What was wanted while it did not listen is said when it listens again.
        drop(control);
        let wish = json!({ "lanes": [{ "lane": LANE, "paused": true }] });
        steer(&world, &operator, &id, wish).await;
        let again = Stream::open(&world, protocol, "ControlWork", &key, announcement(&id)).await;
        let told = again.unwrap().next().await.unwrap();
        assert_eq!((&told["workerId"], wanted(&told["orders"])), (&json!(id), (false, 0, true)));
        let counts = world.database.ticket_counts().await.unwrap();
        assert!(counts.iter().all(|count| count.of.kind != HEED), "nobody would come for those");

        let leaving = json!({ "workerId": id, "leaving": true });
        assert_eq!(world.wire.post("/v1/work:report", &key, leaving).await.status, 200);
        assert_eq!(listed(&world, &operator).await["state"], "WORKER_STATE_GONE");
    }
}

#[tokio::test]
async fn tickets_come_as_they_are_made_and_never_more_than_the_worker_can_hold() {
    for protocol in Protocol::ALL {
        let (world, key) = world().await;
        let mut tickets = vec![];
        for number in 0..3 {
            tickets.push(ticket(&world, json!({ "number": number })).await);
        }
        let wanted = json!({ "lane": LANE, "concurrency": 2, "holder": "gpu-7" });
        let stream = Stream::open(&world, protocol, "StreamWork", &key, wanted).await;
        let mut stream = stream.unwrap();
        let first = stream.next_with("lease").await.unwrap()["lease"].clone();
        let second = stream.next_with("lease").await.unwrap()["lease"].clone();
        assert_ne!(first["ticketId"], second["ticketId"]);
        for _ in 0..3 {
            let sign = stream.next().await.unwrap();
            assert!(!sign["lease"].is_object(), "it holds two already: {sign}");
        }
        assert_eq!(leased(&world, &tickets).await, 2);
        let said = json!({ "leaseToken": first["leaseToken"], "progress": 500 });
        assert_eq!(world.wire.post("/v1/work:extend", &key, said).await.status, 200);
        let done = json!({ "leaseToken": first["leaseToken"], "result": {} });
        assert_eq!(world.wire.post("/v1/work:complete", &key, done).await.status, 200);
        let third = stream.next_with("lease").await.unwrap()["lease"].clone();
        assert_eq!(leased(&world, &tickets).await, 2);

        let token = json!({ "leaseToken": third["leaseToken"] });
        assert_eq!(world.wire.post("/v1/work:release", &key, token).await.status, 200);
        let made = ticket(&world, json!({})).await;
        let fourth = stream.next_with("lease").await.unwrap()["lease"].clone();
        assert_eq!(fourth["ticketId"], json!(made.to_string()));
        assert_eq!(stored(&world, made).await.holder.as_deref(), Some("gpu-7"));
    }
}

#[tokio::test]
async fn a_lease_that_runs_out_makes_place_for_another_ticket() {
    let (world, key) = world().await;
    ticket(&world, json!({})).await;
    let wanted = json!({ "lane": LANE, "concurrency": 1 });
    let stream = Stream::open(&world, Protocol::Grpc, "StreamWork", &key, wanted).await;
    let mut stream = stream.unwrap();
    stream.next_with("lease").await.unwrap();
    let other = ticket(&world, json!({})).await;
    stream.next().await.unwrap();
    assert_eq!(stored(&world, other).await.attempt, 0);
    world.clock.advance(Duration::from_secs(11));
    let next = stream.next_with("lease").await.unwrap();
    assert_eq!(next["lease"]["ticketId"], json!(other.to_string()));
}

#[tokio::test]
async fn leases_from_before_a_stream_broke_count_until_they_end() {
    let (world, key) = world().await;
    let wanted = json!({ "lane": LANE, "concurrency": 1 });
    ticket(&world, json!({})).await;
    let stream = Stream::open(&world, Protocol::Rest, "StreamWork", &key, wanted).await;
    let lease = stream.unwrap().next_with("lease").await.unwrap()["lease"].clone();
    let other = ticket(&world, json!({})).await;
    let tokens = json!([lease["leaseToken"]]);
    let wanted = json!({ "lane": LANE, "concurrency": 1, "heldLeaseTokens": tokens });
    let stream = Stream::open(&world, Protocol::Rest, "StreamWork", &key, wanted).await;
    let mut stream = stream.unwrap();
    for _ in 0..3 {
        assert!(!stream.next().await.unwrap()["lease"].is_object());
    }
    assert_eq!(stored(&world, other).await.attempt, 0);
    let done = json!({ "leaseToken": lease["leaseToken"], "result": {} });
    assert_eq!(world.wire.post("/v1/work:complete", &key, done).await.status, 200);
    let next = stream.next_with("lease").await.unwrap();
    assert_eq!(next["lease"]["ticketId"], json!(other.to_string()));
}

/// A stream with much more under way than its client reads; its tickets.
async fn unread(world: &World, key: &str) -> (Stream, Vec<TicketId>) {
    let mut tickets = vec![];
    for _ in 0..20 {
        tickets.push(ticket(world, json!({ "text": "x".repeat(50_000) })).await);
    }
    let wanted = json!({ "lane": LANE, "concurrency": 20 });
    let stream = Stream::open(world, Protocol::Grpc, "StreamWork", key, wanted).await.unwrap();
    until(async || leased(world, &tickets).await == 20).await;
    (stream, tickets)
}

#[tokio::test]
async fn what_was_leased_and_not_delivered_is_released_at_once_when_the_stream_breaks() {
    let (mut world, key) = world().await;
    for leaving in [false, true] {
        let (stream, tickets) = unread(&world, &key).await;
        if leaving {
            world.stop();
        } else {
            drop(stream);
        }
        // A few were on their way already. The clock stands, so no lease runs out.
        until(async || leased(&world, &tickets).await <= 5).await;
        let mut released = 0;
        for id in tickets {
            let ticket = stored(&world, id).await;
            if ticket.state == TicketState::Queued {
                assert_eq!((ticket.failures, ticket.lost_leases), (0, 0));
                assert_eq!(ticket.history[0].end, Some(AttemptEnd::Released));
                released += 1;
            }
        }
        assert!(released >= 15, "{released}");
    }
}

#[tokio::test]
async fn a_drained_worker_gets_nothing_whether_it_listens_or_not() {
    for protocol in Protocol::ALL {
        let (world, key) = world().await;
        let operator = world.key(Scope::Operator).await;
        let (_control, id) = announced(&world, protocol, &key).await;
        let wanted = json!({ "lane": LANE, "concurrency": 2, "workerId": id });
        let stream = Stream::open(&world, protocol, "StreamWork", &key, wanted).await;
        let mut stream = stream.unwrap();
        let running = ticket(&world, json!({})).await;
        let lease = stream.next_with("lease").await.unwrap()["lease"].clone();
        assert_eq!(stored(&world, running).await.holder.as_deref(), Some(id.as_str()));
        steer(&world, &operator, &id, json!({ "draining": true })).await;
        let waiting = ticket(&world, json!({})).await;
        for _ in 0..3 {
            assert!(!stream.next().await.unwrap()["lease"].is_object());
        }
        let asked = json!({ "lane": LANE, "workerId": id, "waitMs": 50 });
        let answer = world.wire.post("/v1/work:lease", &key, asked).await.json();
        assert_eq!(answer["leases"], json!([]));
        assert_eq!(wanted_of(&answer), (true, 0, false));
        assert_eq!(stored(&world, waiting).await.attempt, 0);

        // What it holds it may finish, and it hears of the orders there as well.
        let said = json!({ "leaseToken": lease["leaseToken"] });
        let extended = world.wire.post("/v1/work:extend", &key, said).await.json();
        assert_eq!((&extended["cancel"], wanted_of(&extended)), (&json!(false), (true, 0, false)));
        let done = json!({ "leaseToken": lease["leaseToken"], "result": {} });
        assert_eq!(world.wire.post("/v1/work:complete", &key, done).await.status, 200);
        assert_eq!(stored(&world, running).await.state, TicketState::Done);

        steer(&world, &operator, &id, json!({ "draining": false })).await;
        let next = stream.next_with("lease").await.unwrap();
        assert_eq!(next["lease"]["ticketId"], json!(waiting.to_string()));
    }
}

fn wanted_of(answer: &Value) -> (bool, u64, bool) {
    wanted(&answer["orders"])
}

#[tokio::test]
async fn operators_say_how_many_at_once_whatever_the_worker_asked_for() {
    let (world, key) = world().await;
    let operator = world.key(Scope::Operator).await;
    let (_control, id) = announced(&world, Protocol::Grpc, &key).await;
    let one = json!({ "lanes": [{ "lane": LANE, "concurrency": 1 }] });
    steer(&world, &operator, &id, one).await;
    let tickets = [ticket(&world, json!({})).await, ticket(&world, json!({})).await];
    let wanted = json!({ "lane": LANE, "concurrency": 2, "workerId": id });
    let stream = Stream::open(&world, Protocol::Grpc, "StreamWork", &key, wanted).await;
    let mut stream = stream.unwrap();
    stream.next_with("lease").await.unwrap();
    for _ in 0..3 {
        assert!(!stream.next().await.unwrap()["lease"].is_object());
    }
    assert_eq!(leased(&world, &tickets).await, 1);
    let two = json!({ "lanes": [{ "lane": LANE, "concurrency": 2 }] });
    steer(&world, &operator, &id, two).await;
    stream.next_with("lease").await.unwrap();
}

#[tokio::test]
async fn a_worker_is_told_that_a_ticket_of_its_is_cancelled() {
    for protocol in Protocol::ALL {
        let (world, key) = world().await;
        let operator = world.key(Scope::Operator).await;
        let (mut control, id) = announced(&world, protocol, &key).await;
        let wanted = json!({ "lane": LANE, "concurrency": 2, "workerId": id });
        let stream = Stream::open(&world, protocol, "StreamWork", &key, wanted).await;
        let mut stream = stream.unwrap();
        let running = ticket(&world, json!({})).await;
        let lease = stream.next_with("lease").await.unwrap()["lease"].clone();
        let held = json!({ "workerId": id, "revision": "0", "ticketIds": [running.to_string()] });
        world.wire.post("/v1/work:report", &key, held).await.json();
        let seen = listed(&world, &operator).await;
        assert_eq!(seen["running"][0]["ticketId"], json!(running.to_string()));
        assert_eq!((&seen["running"][0]["kind"], &seen["runningCount"]), (&json!(KIND), &json!(1)));

        let path = format!("/v1/operations/tickets/{running}:cancel");
        let reason = json!({ "reason": "the merchant called" });
        let cancelled = world.wire.post(&path, &operator, reason).await.json();
        assert_eq!(
            (&cancelled["state"], &cancelled["cancelled"]),
            (&json!("leased"), &json!(true))
        );
        let told = control.next_with("cancel").await.unwrap()["cancel"].clone();
        assert_eq!(told["ticketId"], json!(running.to_string()));
        assert!(told["reason"].as_str().unwrap().contains("the merchant called"), "{told}");
        for _ in 0..3 {
            assert!(!control.next().await.unwrap()["cancel"].is_object(), "it is told once");
        }
        let failed = json!({ "leaseToken": lease["leaseToken"], "message": "stopped" });
        assert_eq!(world.wire.post("/v1/work:fail", &key, failed).await.status, 200);
        assert_eq!(stored(&world, running).await.state, TicketState::Cancelled);
    }
}

#[tokio::test]
async fn a_worker_is_asked_for_a_report_when_it_gave_none_for_long() {
    let (world, key) = world().await;
    let (mut control, _) = announced(&world, Protocol::Grpc, &key).await;
    world.clock.advance(Duration::from_secs(61));
    assert!(control.next_with("report").await.is_ok());
}

#[tokio::test]
async fn only_the_key_that_announced_a_worker_speaks_for_it() {
    let (world, key) = world().await;
    let (_control, id) = announced(&world, Protocol::Grpc, &key).await;
    let running = ticket(&world, json!({})).await;
    let other = world.key(worker(&[KIND], &[LANE])).await;
    let asked = json!({ "lane": LANE, "holder": "other" });
    let lease = world.wire.post("/v1/work:lease", &other, asked).await.json();
    assert_eq!(lease["leases"][0]["ticketId"], json!(running.to_string()));
    let streaming = json!({ "lane": LANE, "workerId": id, "concurrency": 1 });
    for (method, message) in [("ControlWork", announcement(&id)), ("StreamWork", streaming)] {
        let opened = Stream::open(&world, Protocol::Rest, method, &other, message).await;
        assert_eq!(opened.err(), Some(Code::NotFound), "{method}");
    }
    for (method, message) in
        [("report", json!({ "workerId": id })), ("lease", json!({ "lane": LANE, "workerId": id }))]
    {
        let answer = world.wire.post(&format!("/v1/work:{method}"), &other, message).await;
        assert_eq!((answer.code(), answer.status), (Code::NotFound, 404), "{method}");
    }
    // Neither does it hold what another holds, nor is another named like it.
    let held = json!({ "workerId": id, "ticketIds": [running.to_string()] });
    assert_eq!(world.wire.post("/v1/work:report", &key, held).await.status, 200);
    let operator = world.key(Scope::Operator).await;
    assert_eq!(listed(&world, &operator).await["runningCount"], 0);
    let posing = json!({ "lane": LANE, "holder": id });
    let answer = world.wire.post("/v1/work:lease", &other, posing).await;
    assert_eq!(answer.json()["violations"][0]["field"], "holder");
}

#[tokio::test]
async fn what_a_key_is_not_good_for_and_what_makes_no_sense_is_refused() {
    let (world, key) = world().await;
    let merchant = world.key_of(0);
    let routing = world.key(worker(&["order.route"], &[])).await;
    let with = |lanes: Value, more: Value| {
        let mut message = json!({ "name": "gpu-7", "lanes": lanes });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let lane = |name: &str, most: u32| json!({ "lane": name, "concurrency": most });
    let good = json!([lane(LANE, 1)]);
    let wrong = Code::InvalidArgument;
    for (method, key, message, code) in [
        ("Control", merchant, with(good.clone(), json!({})), Code::PermissionDenied),
        ("Control", &key, with(json!([lane("render", 1)]), json!({})), Code::PermissionDenied),
        ("Control", &key, with(good.clone(), json!({ "kinds": ["x"] })), Code::PermissionDenied),
        ("Control", &routing, with(good.clone(), json!({})), Code::PermissionDenied),
        ("Control", &key, with(json!([]), json!({})), wrong),
        ("Control", &key, with(json!([lane(LANE, 0)]), json!({})), wrong),
        ("Control", &key, with(json!([lane(LANE, 257)]), json!({})), wrong),
        ("Control", &key, with(json!([lane(LANE, 1), lane(LANE, 1)]), json!({})), wrong),
        ("Control", &key, with(good.clone(), json!({ "name": "" })), wrong),
        ("Control", &key, with(good.clone(), json!({ "name": "x".repeat(101) })), wrong),
        ("Control", &key, with(good.clone(), json!({ "version": "x".repeat(101) })), wrong),
        ("Control", &key, with(good.clone(), json!({ "workerId": "wrk_1" })), wrong),
        ("Control", &key, with(good, json!({ "ticketIds": vec!["tkt_1"; 257] })), wrong),
        ("Stream", merchant, json!({ "lane": LANE, "concurrency": 1 }), Code::PermissionDenied),
        ("Stream", &key, json!({ "lane": "render", "concurrency": 1 }), Code::PermissionDenied),
        ("Stream", &routing, json!({ "lane": LANE, "concurrency": 1 }), Code::PermissionDenied),
        ("Stream", &key, json!({ "lane": LANE }), wrong),
        ("Stream", &key, json!({ "lane": LANE, "concurrency": 257 }), wrong),
        (
            "Stream",
            &key,
            json!({ "lane": LANE, "concurrency": 1, "heldLeaseTokens": ["x"] }),
            wrong,
        ),
    ] {
        for protocol in Protocol::ALL {
            let method = format!("{method}Work");
            let opened = Stream::open(&world, protocol, &method, key, message.clone()).await;
            assert_eq!(opened.err(), Some(code), "{method} {protocol:?} {message}");
        }
    }
    let operator = world.key(Scope::Operator).await;
    let left = world.wire.get(WORKERS, &operator).await.json();
    assert_eq!(left["workers"], json!([]), "nobody was announced by that");
    let (_control, id) = announced(&world, Protocol::Grpc, &key).await;
    let elsewhere = json!({ "lane": "more", "concurrency": 1, "workerId": id });
    let opened = Stream::open(&world, Protocol::Grpc, "StreamWork", &key, elsewhere).await;
    assert_eq!(opened.err(), Some(wrong), "it announced another lane");
}

#[tokio::test]
async fn streams_end_when_their_key_is_revoked_and_when_the_node_leaves() {
    for leaving in [false, true] {
        let (mut world, key) = world().await;
        let (mut control, id) = announced(&world, Protocol::Grpc, &key).await;
        let wanted = json!({ "lane": LANE, "concurrency": 1, "workerId": id });
        let stream = Stream::open(&world, Protocol::Rest, "StreamWork", &key, wanted).await;
        let mut stream = stream.unwrap();
        stream.next().await.unwrap();
        let code = if leaving { Code::Cancelled } else { Code::KeyRevoked };
        if leaving {
            world.stop();
        } else {
            world.revoke(&key).await;
        }
        for stream in [&mut control, &mut stream] {
            let end = loop {
                if let Err(end) = stream.next().await {
                    break end;
                }
            };
            assert_eq!(end, code);
        }
    }
}
