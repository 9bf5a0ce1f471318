//! Leaving: what is under way ends well, and nothing new begins.

use crate::world::{World, recipient};
use printmill_domain::problem::Code;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn watches_end_with_a_reason_and_nothing_more_is_accepted() {
    let mut world = World::new().await;
    let asset = world.asset(0).await;
    let print = world.print(0, &asset).await;
    let items = json!([{ "printId": print, "quantity": 1 }]);
    let body = json!({ "items": items, "recipient": recipient() });
    let order = world.wire.post("/v1/orders", world.key_of(0), body).await.json();
    let key = world.key_of(0).to_owned();
    let path = format!("/v1/orders/{}:watch", order["id"].as_str().unwrap());
    let wire = crate::wire::Wire::new(world.wire.address);
    let watching = tokio::spawn(async move { wire.get(&path, &key).await });
    let health = crate::wire::Wire::new(world.wire.address);
    let health = tokio::spawn(async move {
        health.grpc("/grpc.health.v1.Health/Watch", "", &[]).await.unwrap_err()
    });
    let open = async {
        while world.registry.gather().iter().all(|family| {
            family.name() != "printmill_requests_total" || {
                let text = format!("{family:?}");
                !(text.contains("WatchOrder") && text.contains("Health/Watch"))
            }
        }) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, open).await.unwrap();
    let address = world.wire.address;
    let served = tokio::time::timeout(LIMIT, world.stop()).await.unwrap().unwrap();
    served.unwrap();
    let watched = watching.await.unwrap();
    let last = String::from_utf8(watched.body.to_vec()).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(last["problem"]["code"], "CANCELLED");
    assert_eq!(health.await.unwrap().code, Code::Cancelled);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
