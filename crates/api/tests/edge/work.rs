//! Leases over the wire.

use crate::world::{PICTURE, World};
use printmill_backend::change::{TicketGuard, TicketWrite};
use printmill_backend::database::TicketQuery;
use printmill_backend::{Change, Clock, Database, fresh};
use printmill_domain::api_key::Scope;
use printmill_domain::ids::TicketId;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::ticket::{Ticket, TicketState};
use serde_json::{Value, json};
use std::time::Duration;

async fn lease(world: &World, facility: usize) -> Value {
    let key = &world.facilities[facility].1;
    let leased = world.wire.call("WorkService/LeaseWork", key, json!({ "count": 5 })).await;
    leased.unwrap().remove(0)["leases"].clone()
}

#[tokio::test]
async fn a_facility_leases_extends_and_releases_what_is_in_its_lane() {
    let world = World::new().await;
    let made = world.made(0, 0).await;
    assert_eq!(lease(&world, 1).await, Value::Null);
    let leases = lease(&world, 0).await;
    assert_eq!((&leases[0]["kind"], &leases[0]["attempt"]), (&json!("print_job.make"), &json!(1)));
    assert_eq!(leases[0]["payload"]["job"], made.job);
    assert!(leases[1].is_null());
    assert_eq!(lease(&world, 0).await, Value::Null, "it is leased already");
    let key = &world.facilities[0].1;
    let token = json!({ "leaseToken": leases[0]["leaseToken"] });
    world.clock.advance(Duration::from_secs(2));
    let extended = world.wire.call("WorkService/ExtendWork", key, token.clone()).await.unwrap();
    assert_eq!(extended[0]["expireTime"], "2026-01-01T12:00:12Z");
    world.wire.call("WorkService/ReleaseWork", key, token.clone()).await.unwrap();
    let again = world.wire.call("WorkService/ExtendWork", key, token).await.unwrap_err();
    assert_eq!(again.code, Code::LeaseLost);
}

#[tokio::test]
async fn a_job_is_accepted_reported_and_shipped_with_its_lease() {
    let world = World::new().await;
    let made = world.made(0, 0).await;
    let key = &world.facilities[0].1;
    let token = lease(&world, 0).await[0]["leaseToken"].clone();
    let path = format!("/v1/printJobs/{}", made.job);
    let forged = json!({ "leaseToken": "x.y" });
    let answer = world.wire.post(&format!("{path}:accept"), key, forged).await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    for _ in 0..2 {
        let body = json!({ "leaseToken": token });
        let job = world.wire.post(&format!("{path}:accept"), key, body).await.json();
        assert_eq!(job["state"], "PRINT_JOB_STATE_ACCEPTED");
    }
    let shipped =
        |tracking: Value| json!({ "state": "PRINT_JOB_STATE_SHIPPED", "tracking": tracking });
    let report = format!("{path}:report");
    let answer = world.wire.post(&report, key, shipped(Value::Null)).await;
    assert_eq!(answer.json()["violations"][0]["field"], "tracking");
    let tracking = json!({ "carrier": "DHL", "number": "1", "url": "" });
    let job = world.wire.post(&report, key, shipped(tracking)).await.json();
    assert_eq!(job["state"], "PRINT_JOB_STATE_SHIPPED");
    let order = world.wire.get(&format!("/v1/orders/{}", made.order), world.key_of(0)).await.json();
    assert_eq!(order["state"], "ORDER_STATE_SHIPPED");
    assert_eq!(order["shipments"][0]["tracking"]["carrier"], "DHL");
    let link = world.wire.get(&format!("{path}/file"), key).await.json();
    let file = world.wire.get(link["url"].as_str().unwrap(), "").await;
    assert_eq!((file.status, file.header("content-type")), (200, "application/pdf"));
}

#[tokio::test]
async fn a_job_that_cannot_be_made_shows_on_its_order() {
    let world = World::new().await;
    let made = world.made(0, 0).await;
    let token = lease(&world, 0).await[0]["leaseToken"].clone();
    let failed = json!({ "leaseToken": token, "message": "no such paper", "hopeless": true });
    world.wire.call("WorkService/FailWork", &world.facilities[0].1, failed).await.unwrap();
    let order = world.wire.get(&format!("/v1/orders/{}", made.order), world.key_of(0)).await.json();
    let issue = &order["items"][0]["issue"];
    assert!(issue["message"].as_str().unwrap().contains("no such paper"), "{issue}");
}

#[tokio::test]
async fn a_worker_gets_only_the_kinds_of_its_key() {
    let world = World::new().await;
    world.made(0, 0).await;
    let lane = format!("facility-{}", world.facilities[0].0);
    let other = world.key(Scope::Worker { kinds: vec!["item.render".into()], lanes: vec![] }).await;
    let wanted = json!({ "lane": lane, "count": 1 });
    let leased = world.wire.call("WorkService/LeaseWork", &other, wanted.clone()).await.unwrap();
    assert_eq!(leased[0], json!({}));
    // It went back unharmed, for a second: the relay would send it again.
    world.clock.advance(Duration::from_secs(1));
    let ticket = printmill_domain::print_job::PrintJob::ticket_id(job(&world).await);
    world.send(&printmill_domain::lane::Lane::parse(&lane).unwrap(), ticket).await;
    let right =
        world.key(Scope::Worker { kinds: vec!["print_job.make".into()], lanes: vec![] }).await;
    let leased = world.wire.call("WorkService/LeaseWork", &right, wanted).await.unwrap();
    let token = &leased[0]["leases"][0]["leaseToken"];
    let failed = json!({ "leaseToken": token, "message": "paper jam" });
    let refusal =
        world.wire.call("WorkService/FailWork", &other, failed.clone()).await.unwrap_err();
    assert_eq!(refusal.code, Code::LeaseLost);
    world.wire.call("WorkService/FailWork", &right, failed).await.unwrap();
}

async fn job(world: &World) -> printmill_domain::ids::PrintJobId {
    let listed = world.wire.get("/v1/printJobs", &world.facilities[0].1).await.json();
    listed["printJobs"][0]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn limits_of_leases_are_told() {
    let world = World::new().await;
    let key = &world.facilities[0].1;
    for (message, field) in [
        (json!({ "count": 33 }), "count"),
        (json!({ "waitMs": 20_001 }), "waitMs"),
        (json!({ "holder": "x".repeat(101) }), "holder"),
    ] {
        let answer = world.wire.post("/v1/work:lease", key, message).await;
        assert_eq!(answer.json()["violations"][0]["field"], field);
    }
}

/// An uploaded picture whose inspection waits for a worker outside; the asset's id.
async fn inspectable(world: &World) -> String {
    let (_, key) = &world.merchants[0];
    let created = world.wire.post("/v1/assets", key, json!({ "fileName": "a.jpg" })).await.json();
    let answer = world.wire.put(created["upload"]["url"].as_str().unwrap(), PICTURE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let unsent = TicketQuery::Waiting;
    let tickets = world.database.find_tickets(unsent, 10).await.unwrap();
    world.send(&Lane::inspect(), tickets[0].id).await;
    created["asset"]["id"].as_str().unwrap().to_owned()
}

fn worker(kinds: &[&str], lanes: &[&str]) -> Scope {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Scope::Worker { kinds: all(kinds), lanes: all(lanes) }
}

async fn lease_inspection(world: &World, key: &str) -> Value {
    let wanted = json!({ "lane": "inspect", "count": 1, "holder": "gpu-1" });
    let leased = world.wire.call("WorkService/LeaseWork", key, wanted).await.unwrap();
    leased[0]["leases"][0].clone()
}

fn verdict() -> Value {
    json!({ "picture": {
        "media_type": "image/jpeg", "width": 3000, "height": 2000, "orientation": 1,
        "has_icc_profile": false,
    } })
}

#[tokio::test]
async fn what_a_worker_outside_answers_is_decided_and_committed_with_its_ticket() {
    let world = World::new().await;
    let asset = inspectable(&world).await;
    let key = world.key(worker(&["asset.inspect"], &["inspect"])).await;
    let lease = lease_inspection(&world, &key).await;
    let file = &lease["files"][0];
    assert_eq!(file["name"], "file");
    let bytes = world.wire.get(file["link"]["url"].as_str().unwrap(), "").await.body;
    assert_eq!(bytes, PICTURE, "the worker gets what was uploaded");
    let token = lease["leaseToken"].clone();
    let said = json!({ "leaseToken": token, "progress": 500, "message": "looking" });
    let extended = world.wire.post("/v1/work:extend", &key, said).await.json();
    assert_eq!(extended["cancel"], false);
    let held = world.database.tickets(&[ticket_of(&lease)]).await.unwrap().remove(0);
    assert_eq!((held.progress, held.message.as_str()), (500, "looking"));
    let wrong = json!({ "leaseToken": token, "result": { "picture": { "width": 3 } } });
    let refusal = world.wire.post("/v1/work:complete", &key, wrong).await;
    assert_eq!(refusal.json()["violations"][0]["field"], "result");
    // A worker that did not hear the answer may ask again.
    for _ in 0..2 {
        let done = json!({ "leaseToken": token, "result": verdict() });
        let answer = world.wire.post("/v1/work:complete", &key, done).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let found = world.wire.get(&format!("/v1/assets/{asset}"), world.key_of(0)).await.json();
    assert_eq!(
        (&found["state"], &found["picture"]["width"]),
        (&json!("ASSET_STATE_READY"), &json!(3000))
    );
    let ended = world.database.tickets(&[ticket_of(&lease)]).await.unwrap().remove(0);
    assert_eq!((ended.state, ended.history[0].holder.as_str()), (TicketState::Done, "gpu-1"));
}

fn ticket_of(lease: &Value) -> TicketId {
    lease["ticketId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn keys_of_workers_are_good_for_their_kinds_and_lanes_only() {
    let world = World::new().await;
    inspectable(&world).await;
    let key = world.key(worker(&["asset.inspect"], &["inspect"])).await;
    for (message, code) in [
        (json!({ "lane": "render" }), Code::PermissionDenied),
        (json!({ "lane": "no lane" }), Code::InvalidArgument),
        (json!({ "lane": "inspect", "kinds": ["item.render"] }), Code::PermissionDenied),
    ] {
        let answer = world.wire.post("/v1/work:lease", &key, message.clone()).await;
        assert_eq!(answer.code(), code, "{message}");
    }
    // Charging and routing are nobody's business but Printmill's.
    let routing = world.key(worker(&["order.route"], &[])).await;
    let answer = world.wire.post("/v1/work:lease", &routing, json!({ "lane": "express" })).await;
    assert_eq!(answer.code(), Code::PermissionDenied);
    assert!(answer.json()["detail"].as_str().unwrap().contains("order.route"));
    let lease = lease_inspection(&world, &key).await;
    let other_lane = world.key(worker(&["asset.inspect"], &["elsewhere"])).await;
    let done = json!({ "leaseToken": lease["leaseToken"], "result": verdict() });
    for method in ["extend", "complete", "release"] {
        let path = format!("/v1/work:{method}");
        let answer =
            world.wire.post(&path, &other_lane, json!({ "leaseToken": lease["leaseToken"] }));
        assert_eq!(answer.await.code(), Code::LeaseLost, "{method}");
    }
    assert_eq!(world.wire.post("/v1/work:complete", &key, done).await.status, 200);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_commits_nothing() {
    let world = World::new().await;
    let asset = inspectable(&world).await;
    let key = world.key(worker(&["asset.inspect"], &[])).await;
    let first = lease_inspection(&world, &key).await;
    world.clock.advance(Duration::from_secs(11));
    // Another worker takes it over.
    let (now, second) = (world.clock.now(), chrono::TimeDelta::seconds(10));
    let stored = world.database.tickets(&[ticket_of(&first)]).await.unwrap().remove(0);
    let claimed = stored.claim("gpu-2", 7, second, now).unwrap();
    let change = Change::new(stored.merchant, now).ticket(claimed, stored.version);
    world.database.commit(change).await.unwrap();
    let done = |lease: &Value| json!({ "leaseToken": lease["leaseToken"], "result": verdict() });
    let token = json!({ "leaseToken": first["leaseToken"] });
    for (method, message) in [("extend", token), ("complete", done(&first))] {
        let answer = world.wire.post(&format!("/v1/work:{method}"), &key, message).await;
        assert_eq!(answer.code(), Code::LeaseLost, "{method}");
    }
    let found = world.wire.get(&format!("/v1/assets/{asset}"), world.key_of(0)).await.json();
    assert_eq!(found["state"], "ASSET_STATE_UPLOADED");
    let ticket = world.database.tickets(&[stored.id]).await.unwrap().remove(0);
    assert_eq!((ticket.attempt, ticket.holder.as_deref()), (2, Some("gpu-2")));
}

#[tokio::test]
async fn kinds_that_nobody_here_knows_keep_their_result_and_files() {
    let world = World::new().await;
    let (merchant, now) = (world.merchants[0].0, world.clock.now());
    let lane = Lane::parse("functions").unwrap();
    let id: TicketId = fresh::id(now);
    let ticket = Ticket::new(id, merchant, lane.clone(), "thumbnail.make", json!({}), now)
        .with_deadline(now + chrono::TimeDelta::seconds(60));
    let mut change = Change::new(merchant, now);
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    world.database.commit(change).await.unwrap();
    world.send(&lane, id).await;
    let key = world.key(worker(&["thumbnail.make"], &["functions"])).await;
    let wanted = json!({ "lane": "functions" });
    let leased = world.wire.post("/v1/work:lease", &key, wanted).await.json();
    let token = &leased["leases"][0]["leaseToken"];
    assert_eq!(leased["leases"][0]["deadline"], "2026-01-01T12:01:00Z");
    let link = json!({ "leaseToken": token, "size": PICTURE.len().to_string() });
    let link = world.wire.post("/v1/work:upload", &key, link).await.json();
    let stored = world.wire.put(link["url"].as_str().unwrap(), &PICTURE[1..]).await;
    assert_eq!(stored.code(), Code::ChecksumMismatch, "{stored:?}");
    let stored = world.wire.put(link["url"].as_str().unwrap(), PICTURE).await.json();
    let large = json!({ "leaseToken": token, "result": { "text": "x".repeat(65_536) } });
    let refusal = world.wire.post("/v1/work:complete", &key, large).await;
    assert_eq!(refusal.code(), Code::RequestTooLarge);
    let long = json!({ "leaseToken": token, "message": "x".repeat(201) });
    let refusal = world.wire.post("/v1/work:extend", &key, long).await;
    assert_eq!(refusal.json()["violations"][0]["field"], "message");
    let done = json!({ "leaseToken": token, "result": { "thumbnail": stored, "scale": 0.5 } });
    assert_eq!(world.wire.post("/v1/work:complete", &key, done).await.status, 200);
    let ended = world.database.tickets(&[id]).await.unwrap().remove(0);
    let result = ended.result.unwrap();
    assert_eq!(result["thumbnail"]["size"], PICTURE.len());
    assert_eq!(result["scale"], 0.5);
}

#[tokio::test]
async fn a_worker_outside_hears_that_its_work_is_not_wanted_any_more() {
    let world = World::new().await;
    let asset = inspectable(&world).await;
    let key = world.key(worker(&["asset.inspect"], &[])).await;
    let lease = lease_inspection(&world, &key).await;
    let stored = world.database.tickets(&[ticket_of(&lease)]).await.unwrap().remove(0);
    let why = Problem::new(Code::WorkCancelled, "nobody wants it", "nothing");
    let next = stored.cancel(why, world.clock.now()).unwrap();
    let change = Change::new(stored.merchant, world.clock.now()).ticket(next, stored.version);
    world.database.commit(change).await.unwrap();
    let token = json!({ "leaseToken": lease["leaseToken"] });
    let extended = world.wire.post("/v1/work:extend", &key, token.clone()).await.json();
    assert_eq!(extended["cancel"], true);
    assert_eq!(extended["cancelReason"], "nobody wants it");
    let failed = json!({ "leaseToken": lease["leaseToken"], "message": "stopped" });
    assert_eq!(world.wire.post("/v1/work:fail", &key, failed).await.status, 200);
    let ended = world.database.tickets(&[stored.id]).await.unwrap().remove(0);
    assert_eq!(ended.state, TicketState::Cancelled);
    let found = world.wire.get(&format!("/v1/assets/{asset}"), world.key_of(0)).await.json();
    assert_eq!(found["state"], "ASSET_STATE_REJECTED", "people see that it was not inspected");
}
