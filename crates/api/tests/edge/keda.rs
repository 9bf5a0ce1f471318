//! KEDA's external scaler: what it is told, that it is told so only where that is switched on, and
//! what it is refused.

use crate::world::World;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use printmill_backend::change::{TicketGuard, TicketWrite};
use printmill_backend::{Change, Clock, Database, fresh};
use printmill_domain::ids::{MerchantId, TicketId};
use printmill_domain::lane::Lane;
use printmill_domain::problem::Code;
use printmill_domain::ticket::Ticket;
use printmill_proto::externalscaler as keda;
use prost::Message;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

async fn world() -> World {
    World::with(|options| options.keda = true).await
}

fn object(metadata: &[(&str, &str)]) -> keda::ScaledObjectRef {
    let lane = ("lane", "render");
    let pairs = [lane].into_iter().chain(metadata.iter().copied());
    keda::ScaledObjectRef {
        name: "workers".into(),
        namespace: "print".into(),
        scaler_metadata: pairs.map(|(key, value)| (key.into(), value.into())).collect(),
    }
}

impl World {
    /// Asks as KEDA does: without a key.
    async fn scaler<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, Code> {
        let path = format!("/externalscaler.ExternalScaler/{method}");
        let answer = self.wire.grpc(&path, "", &message.encode_to_vec()).await;
        let answer = answer.map_err(|refusal| refusal.code)?;
        Ok(A::decode(answer[0].clone()).unwrap())
    }

    async fn is_active(&self, object: &keda::ScaledObjectRef) -> bool {
        let active: keda::IsActiveResponse = self.scaler("IsActive", object).await.unwrap();
        active.result
    }

    /// How many workers an object should have.
    async fn workers(&self, object: &keda::ScaledObjectRef) -> f64 {
        let asked = keda::GetMetricsRequest {
            scaled_object_ref: Some(object.clone()),
            metric_name: "printmill-workers-render".into(),
        };
        let measured: keda::GetMetricsResponse = self.scaler("GetMetrics", &asked).await.unwrap();
        let [value] = &measured.metric_values[..] else { panic!("{measured:?}") };
        assert_eq!(value.metric_name, "printmill-workers-render");
        assert_eq!(value.metric_value as f64, value.metric_value_float);
        value.metric_value_float
    }

    /// Commits tickets that are ready; they are told apart by their numbers.
    async fn tickets(&self, numbers: std::ops::Range<u8>) -> Vec<TicketId> {
        let now = self.clock.now();
        let mut change = Change::new(MerchantId::PLATFORM, now);
        for number in numbers.clone() {
            let id: TicketId = fresh::id(now + Duration::from_millis(number.into()));
            let kind = "item.render";
            let ticket =
                Ticket::new(id, MerchantId::PLATFORM, Lane::render(), kind, json!({}), now);
            change.tickets.push(TicketWrite { ticket, guard: TicketGuard::New });
        }
        let ids = change.tickets.iter().map(|write| write.ticket.id).collect();
        self.database.commit(change).await.unwrap();
        ids
    }

    /// Has somebody hold a ticket.
    async fn claim(&self, id: TicketId) {
        let now = self.clock.now();
        let ticket = self.database.tickets(&[id]).await.unwrap().remove(0);
        let claimed = ticket.claim("worker", 7, chrono::TimeDelta::hours(1), now).unwrap();
        let change = Change::new(ticket.merchant, now).ticket(claimed, ticket.version);
        self.database.commit(change).await.unwrap();
    }
}

#[tokio::test]
async fn it_is_told_how_many_workers_the_policy_wants() {
    let world = world().await;
    let object = object(&[("targetWaitSeconds", "60"), ("bootSeconds", "5"), ("maxWorkers", "40")]);
    let spec: keda::GetMetricSpecResponse = world.scaler("GetMetricSpec", &object).await.unwrap();
    let [spec] = &spec.metric_specs[..] else { panic!("{spec:?}") };
    assert_eq!((spec.metric_name.as_str(), spec.target_size), ("printmill-workers-render", 1));
    assert_eq!(spec.target_size_float, 1.0);
    assert_eq!((world.is_active(&object).await, world.workers(&object).await), (false, 0.0));

    world.clock.advance(Duration::from_secs(15));
    let ids = world.tickets(0..60).await;
    assert!(world.is_active(&object).await);
    let first = world.workers(&object).await;
    assert!((2.0..40.0).contains(&first), "some wait their turn within the minute: {first}");
    assert_eq!(world.workers(&object).await, first, "asking again wants no more");
    let mut other = object.clone();
    other.scaler_metadata.insert("lane".into(), "inspect".into());
    assert!(!world.is_active(&other).await, "of another lane");
    let mut bounded = object.clone();
    bounded.name = "few".into();
    bounded.scaler_metadata.insert("maxWorkers".into(), "2".into());
    assert_eq!(world.workers(&bounded).await, 2.0);

    // What has waited too long asks for all that there may be.
    world.clock.advance(Duration::from_secs(55));
    assert!(world.workers(&object).await > first);

    // The last one is held: one worker is busy, and is kept however long that takes.
    let settled = ids.split_last().map(|(last, others)| (*last, others.to_vec())).unwrap();
    world.claim(settled.0).await;
    for id in settled.1 {
        world.claim(id).await;
        let now = world.clock.now();
        let held = world.database.tickets(&[id]).await.unwrap().remove(0);
        let fence = held.fence().unwrap();
        let done = held.complete(&fence, now).unwrap();
        let change = Change::new(held.merchant, now).ticket(done, held.version);
        world.database.commit(change).await.unwrap();
    }
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(20));
        world.workers(&object).await;
    }
    assert_eq!((world.is_active(&object).await, world.workers(&object).await), (true, 1.0));
}

#[tokio::test]
async fn a_push_scaler_hears_at_once_where_it_stands_and_then_of_each_change() {
    let mut world = world().await;
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let message = object(&[]).encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let path = "externalscaler.ExternalScaler/StreamIsActive";
    let request = Request::post(format!("http://{}/{path}", world.wire.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(frame))
        .unwrap();
    let mut body = client.request(request).await.unwrap().into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(LIMIT, body.frame()).await.unwrap().unwrap().unwrap();
        frame.into_data().map_err(|frame| frame.into_trailers().unwrap())
    };
    let read = |bytes: Bytes| keda::IsActiveResponse::decode(bytes.slice(5..)).unwrap().result;
    assert!(!read(next().await.unwrap()));
    world.clock.advance(Duration::from_secs(15));
    world.tickets(0..1).await;
    assert!(read(next().await.unwrap()));
    let served = world.stop();
    assert_eq!(next().await.unwrap_err()["grpc-status"], "4", "the node leaves");
    tokio::time::timeout(LIMIT, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn nobody_is_told_anything_unless_it_is_switched_on() {
    let world = World::new().await;
    for method in ["IsActive", "StreamIsActive", "GetMetricSpec", "GetMetrics"] {
        let refused = world.scaler::<keda::IsActiveResponse>(method, &object(&[])).await;
        assert_eq!(refused.unwrap_err(), Code::UnknownMethod, "{method}");
    }
}

#[tokio::test]
async fn wrong_metadata_is_refused_and_keys_of_kedas_own_are_left_alone() {
    let world = world().await;
    let own = [("scalerAddress", "printmill:7070"), ("enableTLS", "false"), ("minWorkers", "1")];
    assert_eq!(world.workers(&object(&own)).await, 1.0);
    for wrong in [
        ("lane", ""),
        ("lane", "a b"),
        ("targetWaitSeconds", "soon"),
        ("targetWaitSeconds", "NaN"),
        ("bootSeconds", "-1"),
        ("ticketSeconds", "0"),
        ("maxWorkers", "0"),
        ("maxWorkers", "99999999999"),
        ("minWorkers", "101"),
        ("concurrency", "0"),
    ] {
        for method in ["IsActive", "StreamIsActive", "GetMetricSpec"] {
            let refused = world.scaler::<keda::IsActiveResponse>(method, &object(&[wrong])).await;
            assert_eq!(refused.unwrap_err(), Code::InvalidArgument, "{method} {wrong:?}");
        }
    }
    let nobody = keda::GetMetricsRequest::default();
    let refused = world.scaler::<keda::GetMetricsResponse>("GetMetrics", &nobody).await;
    assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
    let long = keda::ScaledObjectRef { name: "x".repeat(254), ..object(&[]) };
    let refused = world.scaler::<keda::IsActiveResponse>("IsActive", &long).await;
    assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
    let large = object(&[("more", &"x".repeat(20_000))]);
    assert!(world.scaler::<keda::IsActiveResponse>("IsActive", &large).await.is_err());
}
