//! Leases over the wire.

use crate::world::World;
use printmill_domain::api_key::Scope;
use printmill_domain::problem::Code;
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
    let other = world.key(Scope::Worker { kinds: vec!["item.render".into()] }).await;
    let wanted = json!({ "lane": lane, "count": 1 });
    let leased = world.wire.call("WorkService/LeaseWork", &other, wanted.clone()).await.unwrap();
    assert_eq!(leased[0], json!({}));
    // It went back unharmed: the relay would send it again.
    let ticket = printmill_domain::print_job::PrintJob::ticket_id(job(&world).await);
    world.send(&printmill_domain::lane::Lane::parse(&lane).unwrap(), ticket).await;
    let right = world.key(Scope::Worker { kinds: vec!["print_job.make".into()] }).await;
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
