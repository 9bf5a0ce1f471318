//! What operators do with tickets and consumers: cancel, look, replay, resume.

use crate::world::World;
use printmill_backend::change::{Change, TicketGuard, TicketWrite};
use printmill_backend::{Clock, Database, fresh};
use printmill_domain::aggregate::Decided;
use printmill_domain::api_key::Scope;
use printmill_domain::event::{EventDraft, Shard};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::print_job::PrintJob;
use printmill_domain::problem::Code;
use printmill_domain::subscription::{Consumer, EventFilter};
use printmill_domain::ticket::{Ticket, TicketState};
use serde_json::json;
use std::time::Duration;

const TICKETS: &str = "/v1/operations/tickets";
const CONSUMERS: &str = "/v1/operations/consumers";

async fn stored(world: &World, id: TicketId) -> Ticket {
    world.database.tickets(&[id]).await.unwrap().remove(0)
}

/// A ticket that nobody has taken.
async fn waiting(world: &World) -> TicketId {
    let (merchant, now) = (world.merchants[0].0, world.clock.now());
    let (id, lane) = (fresh::id(now), Lane::parse("functions").unwrap());
    let ticket = Ticket::new(id, merchant, lane, "thumbnail.make", json!({}), now);
    let mut change = Change::new(merchant, now);
    change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
    world.database.commit(change).await.unwrap();
    id
}

#[tokio::test]
async fn a_ticket_that_waits_is_cancelled_at_once_and_asking_again_changes_nothing() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    let id = waiting(&world).await;
    let path = format!("{TICKETS}/{id}:cancel");
    let reason = json!({ "reason": "the merchant called" });
    let cancelled = world.wire.post(&path, &operator, reason).await.json();
    assert_eq!((&cancelled["state"], &cancelled["cancelled"]), (&json!("cancelled"), &json!(true)));
    let ticket = stored(&world, id).await;
    let why = ticket.cancel.clone().unwrap();
    assert_eq!(why.code, Code::WorkCancelled);
    assert!(why.message.ends_with("the merchant called"), "{why}");
    for body in [json!({}), json!({ "reason": "again" })] {
        assert_eq!(world.wire.post(&path, &operator, body).await.json()["state"], "cancelled");
    }
    assert_eq!(stored(&world, id).await, ticket);
}

#[tokio::test]
async fn one_that_is_held_is_cancelled_by_its_holder_who_hears_with_the_next_heartbeat() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    let made = world.made(0, 0).await;
    let facility = &world.facilities[0].1;
    let leased = world.wire.post("/v1/work:lease", facility, json!({})).await.json();
    let lease = &leased["leases"][0];
    let path = format!("{TICKETS}/{}:cancel", lease["ticketId"].as_str().unwrap());
    let cancelled = world.wire.post(&path, &operator, json!({})).await.json();
    assert_eq!((&cancelled["state"], &cancelled["cancelled"]), (&json!("leased"), &json!(true)));
    let token = json!({ "leaseToken": lease["leaseToken"] });
    let extended = world.wire.post("/v1/work:extend", facility, token).await.json();
    assert_eq!(extended["cancel"], true);
    let token = json!({ "leaseToken": lease["leaseToken"] });
    assert_eq!(world.wire.post("/v1/work:release", facility, token).await.status, 200);
    let ticket = stored(&world, PrintJob::ticket_id(made.job.parse().unwrap())).await;
    assert_eq!(ticket.state, TicketState::Cancelled);
    let order = world.wire.get(&format!("/v1/orders/{}", made.order), world.key_of(0)).await.json();
    let issue = order["items"][0]["issue"]["message"].as_str().unwrap().to_owned();
    assert!(issue.contains("cancelled"), "{issue}");
}

#[tokio::test]
async fn a_print_job_that_is_cancelled_before_anybody_took_it_shows_on_its_order() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    let made = world.made(0, 0).await;
    let id = PrintJob::ticket_id(made.job.parse().unwrap());
    let reason = json!({ "reason": "wrong paper" });
    let path = format!("{TICKETS}/{id}:cancel");
    let cancelled = world.wire.post(&path, &operator, reason).await.json();
    assert_eq!(cancelled["state"], "cancelled");
    let order = world.wire.get(&format!("/v1/orders/{}", made.order), world.key_of(0)).await.json();
    let issue = order["items"][0]["issue"]["message"].as_str().unwrap().to_owned();
    assert!(issue.contains("wrong paper"), "{issue}");
    let leased = world.wire.post("/v1/work:lease", &world.facilities[0].1, json!({})).await.json();
    assert_eq!(leased["leases"], json!([]));
}

#[tokio::test]
async fn what_is_over_or_is_not_there_cannot_be_cancelled_and_only_operators_may() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    let id = waiting(&world).await;
    let path = format!("{TICKETS}/{id}:cancel");
    for key in [world.key_of(0), &world.facilities[0].1] {
        assert_eq!(world.wire.post(&path, key, json!({})).await.code(), Code::PermissionDenied);
    }
    let long = json!({ "reason": "x".repeat(201) });
    assert_eq!(world.wire.post(&path, &operator, long).await.code(), Code::InvalidArgument);
    let now = world.clock.now();
    let waiting = stored(&world, id).await;
    let held = waiting.claim("w", 7, chrono::TimeDelta::seconds(10), now).unwrap();
    let done = held.complete(&held.fence().unwrap(), now).unwrap();
    for (next, version) in [(held.clone(), waiting.version), (done, held.version)] {
        let change = Change::new(waiting.merchant, now).ticket(next, version);
        world.database.commit(change).await.unwrap();
    }
    let refused = world.wire.post(&path, &operator, json!({})).await;
    assert_eq!(refused.code(), Code::InvalidState);
    let nothing: TicketId = fresh::id(world.clock.now());
    let nothing = format!("{TICKETS}/{nothing}:cancel");
    assert_eq!(world.wire.post(&nothing, &operator, json!({})).await.code(), Code::NotFound);
}

/// Three events in the log, and a consumer that has read them and waits for one of their streams.
async fn consumer(world: &World) -> String {
    let (merchant, now) = (world.merchants[0].0, world.clock.now());
    let stream = format!("ord_{:026}", 1);
    let mut change = Change::new(merchant, now);
    change.events = (1..=3)
        .map(|sequence| EventDraft {
            stream: stream.clone(),
            sequence,
            kind: "order.placed".into(),
            subject: stream.clone(),
            data: json!({}),
        })
        .collect();
    world.database.commit(change).await.unwrap();
    let numbered = async {
        while world.database.head().await.unwrap() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), numbered).await.unwrap();
    let mut consumer = Consumer::new("event-counts", Shard::WHOLE, EventFilter::default(), 3, now);
    let problem = printmill_domain::problem::Problem::new(Code::Internal, "it broke", "mend it");
    let (due_at, since) = (None, now);
    let held =
        printmill_domain::subscription::Held { from: 2, failures: 6, due_at, problem, since };
    consumer.held.insert(stream.clone(), held);
    let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(consumer));
    world.database.commit(change).await.unwrap();
    stream
}

#[tokio::test]
async fn operators_see_who_reads_the_log_and_have_streams_tried_again() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    let stream = consumer(&world).await;
    let listed = world.wire.get(CONSUMERS, &operator).await.json();
    let seen = &listed["consumers"][0];
    assert_eq!((&seen["name"], &seen["cursor"]), (&json!("event-counts"), &json!("3")));
    let waits = &seen["waiting"][0];
    assert_eq!((&waits["stream"], &waits["seq"]), (&json!(stream), &json!("2")));
    assert_eq!(waits["problem"]["message"], "it broke");
    assert_eq!(waits["dueTime"], json!(null), "it is parked");

    let resume = format!("{CONSUMERS}/event-counts:resume");
    let resumed = world.wire.post(&resume, &operator, json!({ "stream": stream })).await.json();
    assert_eq!(resumed["waiting"][0]["dueTime"], "2026-01-01T12:00:00Z");
    let other = world.wire.post(&resume, &operator, json!({ "stream": "ord_x" })).await;
    assert!([Code::NotFound, Code::InvalidState].contains(&other.code()), "{other:?}");
    let nobody = format!("{CONSUMERS}/nobody:resume");
    let nobody = world.wire.post(&nobody, &operator, json!({ "stream": stream })).await;
    assert_eq!(nobody.code(), Code::NotFound);
}

#[tokio::test]
async fn operators_have_a_consumer_read_again_from_a_place_or_time() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    consumer(&world).await;
    let replay = format!("{CONSUMERS}/event-counts:replay");
    for (from, cursor) in [
        (json!({ "afterSeq": "1" }), "1"),
        (json!({ "since": "2026-01-01T12:00:00Z" }), "0"),
        (json!({ "since": "2027-01-01T12:00:00Z" }), "3"),
        (json!({ "afterSeq": "0" }), "0"),
    ] {
        let replayed = world.wire.post(&replay, &operator, from.clone()).await.json();
        assert_eq!(replayed["consumers"][0]["cursor"], cursor, "{from}");
        assert_eq!(replayed["consumers"][0]["waiting"], json!([]));
    }
    for from in [
        json!({}),
        json!({ "afterSeq": "-1" }),
        json!({ "afterSeq": "4" }),
        json!({ "afterSeq": "1", "since": "2026-01-01T12:00:00Z" }),
    ] {
        let refused = world.wire.post(&replay, &operator, from.clone()).await;
        assert_eq!(refused.code(), Code::InvalidArgument, "{from}");
    }
    for key in [world.key_of(0), &world.facilities[0].1] {
        assert_eq!(world.wire.get(CONSUMERS, key).await.code(), Code::PermissionDenied);
    }
}
