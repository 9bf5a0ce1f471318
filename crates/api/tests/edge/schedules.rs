//! Schedules, as operators see and steer them.

use crate::world::World;
use printmill_backend::{Change, Database};
use printmill_domain::api_key::Scope;
use printmill_domain::ids::{Id, MerchantId, TicketId};
use printmill_domain::problem::Code;
use printmill_domain::schedule::Schedule;
use printmill_engine::housekeeping;
use serde_json::json;

const SCHEDULES: &str = "/v1/operations/schedules";

/// A served edge with one schedule, and an operator's key.
async fn world() -> (World, String) {
    let world = World::new().await;
    let now = printmill_backend::Clock::now(&*world.clock);
    let made = Schedule::create(housekeeping::definition("30 3 * * *", "UTC"), now).unwrap();
    let change = Change::new(MerchantId::PLATFORM, now).create(made);
    world.database.commit(change).await.unwrap();
    let operator = world.key(Scope::Operator).await;
    (world, operator)
}

#[tokio::test]
async fn operators_list_pause_and_resume_schedules() {
    let (world, operator) = world().await;
    let listed = world.wire.get(SCHEDULES, &operator).await.json();
    let schedule = &listed["schedules"][0];
    assert_eq!(
        (&schedule["name"], &schedule["cron"]),
        (&json!("housekeeping"), &json!("30 3 * * *"))
    );
    assert_eq!(schedule["missed"], "MISSED_TICKS_ONCE");
    assert_eq!(schedule["nextTickTime"], "2026-01-02T03:30:00Z");

    let id = schedule["scheduleId"].as_str().unwrap();
    for called in ["housekeeping", id] {
        let pause = format!("{SCHEDULES}/{called}:pause");
        let paused = world.wire.post(&pause, &operator, json!({})).await.json();
        assert_eq!((&paused["paused"], &paused["nextTickTime"]), (&json!(true), &json!(null)));
        world.clock.advance(std::time::Duration::from_secs(86_400));
    }
    let resume = format!("{SCHEDULES}/housekeeping:resume");
    let resumed = world.wire.post(&resume, &operator, json!({})).await.json();
    assert_eq!(resumed["nextTickTime"], "2026-01-04T03:30:00Z");
}

#[tokio::test]
async fn a_run_out_of_turn_makes_one_ticket_however_often_it_is_asked_for() {
    let (world, operator) = world().await;
    let run = format!("{SCHEDULES}/housekeeping:run");
    let mut tickets = vec![];
    for request in ["first", "first", "second"] {
        let body = json!({ "requestId": request });
        let ran = world.wire.post(&run, &operator, body).await.json();
        assert_eq!(ran["schedule"]["nextTickTime"], "2026-01-02T03:30:00Z");
        tickets.push(TicketId::parse(ran["ticketId"].as_str().unwrap()).unwrap());
    }
    assert_eq!(tickets[0], tickets[1], "the same request has the same answer");
    assert_ne!(tickets[0], tickets[2]);
    let stored = world.database.tickets(&tickets[1..]).await.unwrap();
    assert!(stored.len() == 2 && stored.iter().all(|ticket| ticket.kind == housekeeping::KIND));
}

#[tokio::test]
async fn only_operators_may_and_a_name_that_is_none_is_not_found() {
    let (world, operator) = world().await;
    for verb in ["run", "pause", "resume"] {
        let path = format!("{SCHEDULES}/housekeeping:{verb}");
        for key in [world.key_of(0), &world.facilities[0].1] {
            let answer = world.wire.post(&path, key, json!({})).await;
            assert_eq!((answer.code(), answer.status), (Code::PermissionDenied, 403));
        }
        let path = format!("{SCHEDULES}/nothing:{verb}");
        let answer = world.wire.post(&path, &operator, json!({})).await;
        assert_eq!((answer.code(), answer.status), (Code::NotFound, 404));
    }
}

fn nightly() -> serde_json::Value {
    json!({
        "name": "nightly-report", "cron": "0 2 * * *", "zone": "Europe/Amsterdam",
        "missed": "MISSED_TICKS_ALL", "kind": "report.make", "lane": "reports",
        "payload": { "format": "pdf" }, "requestId": "once",
    })
}

async fn delete(world: &World, operator: &str, name: &str) -> crate::wire::Answer {
    let request = http::Request::delete(format!("{SCHEDULES}/{name}"))
        .header("authorization", format!("Bearer {operator}"));
    world.wire.send(request.body(http_body_util::Full::default()).unwrap()).await
}

#[tokio::test]
async fn operators_make_change_and_delete_schedules_of_their_own() {
    let (world, operator) = world().await;
    for _ in 0..2 {
        let made = world.wire.post(SCHEDULES, &operator, nightly()).await.json();
        assert_eq!(made["nextTickTime"], "2026-01-02T01:00:00Z", "by the clock of Amsterdam");
        assert_eq!((&made["kind"], &made["lane"]), (&json!("report.make"), &json!("reports")));
        assert_eq!(
            (&made["payload"], &made["missed"]),
            (&json!({ "format": "pdf" }), &json!("MISSED_TICKS_ALL"))
        );
    }
    let again = json!({ "name": "nightly-report", "cron": "@daily", "kind": "x", "lane": "y" });
    assert_eq!(world.wire.post(SCHEDULES, &operator, again).await.code(), Code::InvalidState);

    let update = format!("{SCHEDULES}/nightly-report:update");
    let body = json!({ "cron": "30 2 * * *", "payload": { "format": "csv" } });
    let changed = world.wire.post(&update, &operator, body).await.json();
    assert_eq!(changed["nextTickTime"], "2026-01-02T01:30:00Z", "the zone stays");
    assert_eq!(changed["payload"], json!({ "format": "csv" }));
    let run = format!("{SCHEDULES}/nightly-report:run");
    let ran = world.wire.post(&run, &operator, json!({})).await.json();
    let first = TicketId::parse(ran["ticketId"].as_str().unwrap()).unwrap();
    let ticket = world.database.tickets(&[first]).await.unwrap().remove(0);
    assert_eq!((ticket.kind.as_str(), ticket.lane.as_str()), ("report.make", "reports"));
    assert_eq!(ticket.payload["format"], "csv");

    for _ in 0..2 {
        let deleted = delete(&world, &operator, "nightly-report?requestId=gone").await;
        assert_eq!((deleted.status, &deleted.json()["name"]), (200, &json!("nightly-report")));
    }
    let listed = world.wire.get(SCHEDULES, &operator).await.json();
    assert_eq!(listed["schedules"].as_array().unwrap().len(), 1, "{listed}");
    for verb in ["run", "pause", "resume", "update"] {
        let path = format!("{SCHEDULES}/nightly-report:{verb}");
        let answer = world.wire.post(&path, &operator, json!({})).await;
        assert_eq!(answer.code(), Code::NotFound, "{verb}");
    }
    assert_eq!(delete(&world, &operator, "nightly-report").await.code(), Code::NotFound);

    // Another of that name makes none of the tickets of the one before.
    let anew = json!({ "name": "nightly-report", "cron": "@daily", "kind": "x", "lane": "y" });
    let anew = world.wire.post(SCHEDULES, &operator, anew).await.json();
    assert_eq!((&anew["zone"], &anew["missed"]), (&json!("UTC"), &json!("MISSED_TICKS_SKIP")));
    let ran = world.wire.post(&run, &operator, json!({})).await.json();
    assert_ne!(TicketId::parse(ran["ticketId"].as_str().unwrap()).unwrap(), first);
}

#[tokio::test]
async fn schedules_that_cannot_work_are_refused_and_the_built_in_one_follows_the_settings() {
    let (world, operator) = world().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut body = nightly();
        body[field] = value;
        body["requestId"] = json!("");
        body
    };
    for (body, code) in [
        (with("cron", json!("30 25 * * *")), Code::ScheduleInvalid),
        (with("cron", json!("0 0 31 2 *")), Code::ScheduleNeverFires),
        (with("zone", json!("CEST")), Code::ScheduleInvalid),
        (with("name", json!("Nightly")), Code::InvalidArgument),
        (with("lane", json!("no lane")), Code::InvalidArgument),
        (with("lane", json!("render")), Code::ScheduleInvalid),
        (with("lane", json!(format!("facility-{}", world.facilities[0].0))), Code::ScheduleInvalid),
        (with("kind", json!("")), Code::ScheduleInvalid),
        (with("kind", json!("order.route")), Code::ScheduleInvalid),
        (with("kind", json!("print_job.make")), Code::ScheduleInvalid),
        (with("kind", json!("worker.heed")), Code::ScheduleInvalid),
        (with("kind", json!("housekeeping.prune")), Code::ScheduleInvalid),
        (with("payload", json!({ "tick": "x" })), Code::ScheduleInvalid),
        (with("payload", json!({ "text": "x".repeat(16_384) })), Code::ScheduleInvalid),
    ] {
        let answer = world.wire.post(SCHEDULES, &operator, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
    }
    let mut pruning = with("kind", json!("housekeeping.prune"));
    pruning["lane"] = json!("express");
    assert_eq!(world.wire.post(SCHEDULES, &operator, pruning).await.status, 200);
    let update = format!("{SCHEDULES}/housekeeping:update");
    let answer = world.wire.post(&update, &operator, json!({ "cron": "@daily" })).await;
    assert_eq!(answer.code(), Code::InvalidState);
    assert_eq!(delete(&world, &operator, "housekeeping").await.code(), Code::InvalidState);
    for key in [world.key_of(0), &world.facilities[0].1] {
        let answer = world.wire.post(SCHEDULES, key, nightly()).await;
        assert_eq!(answer.code(), Code::PermissionDenied);
        assert_eq!(delete(&world, key, "nightly-report").await.code(), Code::PermissionDenied);
    }
}
