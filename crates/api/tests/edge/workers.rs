//! Workers, as operators see and steer them.

use crate::world::World;
use printmill_backend::database::Scope as Reads;
use printmill_backend::{Change, Clock, Database, DatabaseExt};
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::api_key::Scope;
use printmill_domain::ids::{MerchantId, WorkerId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::Stage;
use printmill_domain::worker::{HEED, Worker, WorkerLane};
use serde_json::json;
use std::time::Duration;

const WORKERS: &str = "/v1/operations/workers";

/// A served edge with one worker, and an operator's key.
async fn world() -> (World, String, String) {
    let world = World::new().await;
    let now = world.clock.now();
    let id: WorkerId = printmill_backend::fresh::id(now);
    let lanes = vec![WorkerLane::new(Lane::render(), 2)];
    let worker = Worker::begin(id, "press-1".into(), 4711, "0.1.0".into(), lanes, now);
    let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(worker));
    world.database.commit(change).await.unwrap();
    let operator = world.key(Scope::Operator).await;
    (world, operator, id.to_string())
}

async fn stored(world: &World, id: &str) -> Versioned<Worker> {
    let scope = Reads::Merchant(MerchantId::PLATFORM);
    world.database.find(scope, id).await.unwrap().unwrap()
}

/// How many commands wait for their workers.
async fn commands(world: &World) -> u64 {
    let counts = world.database.ticket_counts().await.unwrap();
    let waiting = counts.iter().filter(|it| it.of.kind == HEED && it.stage == Stage::Waiting);
    waiting.map(|it| it.count).sum()
}

#[tokio::test]
async fn operators_drain_a_worker_and_see_when_it_acts_on_it() {
    let (world, operator, id) = world().await;
    let listed = world.wire.get(WORKERS, &operator).await.json();
    let worker = &listed["workers"][0];
    assert_eq!((&worker["workerId"], &worker["host"]), (&json!(id), &json!("press-1")));
    assert_eq!(worker["state"], "WORKER_STATE_SERVING");
    assert_eq!(worker["heeded"], true);

    let update = format!("{WORKERS}/{id}:update");
    for _ in 0..2 {
        let body = json!({ "draining": true, "requestId": "once" });
        let drained = world.wire.post(&update, &operator, body).await.json();
        assert_eq!(drained["state"], "WORKER_STATE_DRAINING");
        assert_eq!(drained["heeded"], false, "it has not heard of it yet");
    }
    assert_eq!((stored(&world, &id).await.revision, commands(&world).await), (1, 1));

    let body = json!({ "lanes": [{ "lane": "render", "concurrency": 0, "paused": false }] });
    let set = world.wire.post(&update, &operator, body).await.json();
    assert_eq!(set["state"], "WORKER_STATE_DRAINING", "what is left out stays");
    assert_eq!(set["lanes"][0]["concurrency"], 0);
    assert_eq!(set["lanes"][0]["configuredConcurrency"], 2);

    let found = stored(&world, &id).await;
    let reported = Decided::quiet(found.report(vec![], world.clock.now()));
    let change = Change::new(MerchantId::PLATFORM, world.clock.now()).update(&found, reported);
    world.database.commit(change).await.unwrap();
    let listed = world.wire.get(WORKERS, &operator).await.json();
    assert_eq!(listed["workers"][0]["heeded"], true);
}

#[tokio::test]
async fn a_worker_that_is_silent_is_told_by_its_record_only_and_one_that_left_is_not_listed() {
    let (world, operator, id) = world().await;
    world.clock.advance(Duration::from_secs(181));
    let update = format!("{WORKERS}/{id}:update");
    let silent = world.wire.post(&update, &operator, json!({ "draining": true })).await.json();
    assert_eq!(silent["state"], "WORKER_STATE_SILENT");
    assert_eq!((stored(&world, &id).await.revision, commands(&world).await), (1, 0));

    let found = stored(&world, &id).await;
    let now = world.clock.now();
    let left = Change::new(MerchantId::PLATFORM, now);
    world.database.commit(left.update(&found, Decided::quiet(found.leave(now)))).await.unwrap();
    let listed = world.wire.get(WORKERS, &operator).await.json();
    assert_eq!(listed["workers"].as_array().map_or(0, Vec::len), 0);
    let all = format!("{WORKERS}?includeGone=true");
    let listed = world.wire.get(&all, &operator).await.json();
    assert_eq!(listed["workers"][0]["state"], "WORKER_STATE_GONE");
    let refused = world.wire.post(&update, &operator, json!({ "draining": false })).await;
    assert_eq!(refused.code(), Code::InvalidState);
}

#[tokio::test]
async fn only_operators_may_and_wrong_wishes_change_nothing() {
    let (world, operator, id) = world().await;
    let update = format!("{WORKERS}/{id}:update");
    for key in [world.key_of(0), &world.facilities[0].1] {
        assert_eq!(world.wire.get(WORKERS, key).await.code(), Code::PermissionDenied);
        let refused = world.wire.post(&update, key, json!({ "draining": true })).await;
        assert_eq!((refused.code(), refused.status), (Code::PermissionDenied, 403));
    }
    let lane = |lane: &str, concurrency: u32| {
        let lane = json!({ "lane": lane, "concurrency": concurrency });
        json!({ "draining": true, "lanes": [lane] })
    };
    let many = json!({ "lanes": vec![json!({ "lane": "render" }); 65] });
    let wrong = [lane("render", 257), lane("render", u32::MAX), lane("express", 1), lane("", 1)];
    for body in wrong.into_iter().chain([many]) {
        let refused = world.wire.post(&update, &operator, body.clone()).await;
        assert_eq!(refused.code(), Code::InvalidArgument, "{body}");
    }
    let unknown = format!("wrk_{:026}", 1);
    let nobody = format!("{WORKERS}/{unknown}:update");
    assert_eq!(world.wire.post(&nobody, &operator, json!({})).await.code(), Code::NotFound);
    let found = stored(&world, &id).await;
    assert_eq!((found.version, commands(&world).await), (1, 0));
}
