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
