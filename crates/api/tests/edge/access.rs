//! Keys: mistyped, revoked, of other scopes; and what needs none.

use crate::world::{METRICS, World};
use printmill_api::MESSAGE_BYTES_MAX;
use printmill_domain::api_key::Scope;
use printmill_domain::problem::Code;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_types::StatusExt;

#[tokio::test]
async fn keys_are_checked_alike_on_grpc_and_rest() {
    let world = World::new().await;
    let good = world.key_of(0);
    let other = if good.ends_with('x') { 'y' } else { 'x' };
    let typo = format!("{}{other}", &good[..good.len() - 1]);
    let revoked = world.key(Scope::Merchant(world.merchants[0].0)).await;
    world.revoke(&revoked).await;
    let worker =
        world.key(Scope::Worker { kinds: vec!["item.render".into()], lanes: vec![] }).await;
    let unknown = {
        let other = World::new().await;
        other.key(Scope::Merchant(world.merchants[0].0)).await
    };
    for (key, code, status) in [
        ("", Code::Unauthenticated, 401),
        ("nonsense", Code::Unauthenticated, 401),
        (&typo, Code::Unauthenticated, 401),
        (&unknown, Code::Unauthenticated, 401),
        (&revoked, Code::KeyRevoked, 401),
        (&worker, Code::PermissionDenied, 403),
        (&world.facilities[0].1, Code::PermissionDenied, 403),
    ] {
        let answer = world.wire.get("/v1/assets", key).await;
        assert_eq!((answer.code(), answer.status), (code, status), "{key}");
        assert_eq!(answer.header("www-authenticate").is_empty(), status != 401);
        let refusal = world.wire.call("AssetService/ListAssets", key, json!({})).await.unwrap_err();
        assert_eq!(refusal.code, code, "{key}");
    }
    assert_eq!(world.wire.get("/v1/assets", good).await.status, 200);
}

#[tokio::test]
async fn operators_see_the_deployment_and_nothing_of_any_merchant() {
    let world = World::new().await;
    let operator = world.key(Scope::Operator).await;
    assert_eq!(world.wire.get("/v1/operations/lanes", &operator).await.status, 200);
    for path in ["/v1/assets", "/v1/orders", "/v1/printJobs"] {
        let answer = world.wire.get(path, &operator).await;
        assert_eq!((answer.code(), answer.status), (Code::PermissionDenied, 403), "{path}");
    }
    let leasing = world.wire.post("/v1/work:lease", &operator, json!({})).await;
    assert_eq!(leasing.code(), Code::PermissionDenied);
    let facility = &world.facilities[0].1;
    for key in [world.key_of(0), facility] {
        let answer = world.wire.get("/v1/operations/lanes", key).await;
        assert_eq!((answer.code(), answer.status), (Code::PermissionDenied, 403));
    }
}

#[tokio::test]
async fn a_revoked_key_stops_working_when_the_cache_forgets_it() {
    let world = World::with(|options| options.key_cache = Duration::from_millis(30)).await;
    let key = world.key(Scope::Merchant(world.merchants[0].0)).await;
    assert_eq!(world.wire.get("/v1/assets", &key).await.status, 200);
    world.revoke(&key).await;
    let refused = async {
        loop {
            let answer = world.wire.get("/v1/assets", &key).await;
            if answer.status == 401 {
                return answer.code();
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
    assert_eq!(code, Code::KeyRevoked);
}

#[tokio::test]
async fn health_reflection_metrics_and_documents_need_no_key() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(world.wire.get(path, "").await.status, 200, "{path}");
    }
    assert_eq!(world.wire.get("/metrics", "").await.body, METRICS);
    // HealthCheckResponse { status: SERVING }
    let healthy = world.wire.grpc("/grpc.health.v1.Health/Check", "", &[]).await.unwrap();
    assert_eq!(healthy, [vec![8u8, 1]]);
    // ServerReflectionRequest { list_services: "" }
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let listed = world.wire.grpc(path, "", &[0x3a, 0]).await.unwrap();
    let listed = String::from_utf8_lossy(&listed[0]).into_owned();
    for service in ["printmill.v1.OrderService", "grpc.health.v1.Health"] {
        assert!(listed.contains(service), "{listed}");
    }
}

#[tokio::test]
async fn unknown_paths_and_large_messages_have_codes_of_ours() {
    let world = World::new().await;
    let key = world.key_of(0);
    let answer = world.wire.get("/v1/nothing", key).await;
    assert_eq!((answer.code(), answer.status), (Code::UnknownMethod, 404));
    let answer = world.wire.get("/v1/orders/ord_1:unknown", key).await;
    assert_eq!((answer.code(), answer.status), (Code::UnknownMethod, 404));
    let answer = world.wire.post("/v1/products", key, json!({})).await;
    assert_eq!((answer.code(), answer.status), (Code::UnknownMethod, 405));
    assert_eq!(answer.header("allow"), "GET");
    for path in ["/printmill.v1.OrderService/Nothing", "/nothing.Service/Get", "/x"] {
        let refusal = world.wire.grpc(path, key, &[]).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnknownMethod, "{path}");
        assert_eq!(refusal.status.code(), tonic::Code::Unimplemented);
    }
    let large = "x".repeat(MESSAGE_BYTES_MAX);
    let answer = world.wire.post("/v1/assets", key, json!({ "fileName": large })).await;
    assert_eq!((answer.code(), answer.status), (Code::RequestTooLarge, 413));
    let call = world.wire.call("AssetService/CreateAsset", key, json!({ "fileName": large }));
    assert_eq!(call.await.unwrap_err().code, Code::RequestTooLarge);
    let garbage = world.wire.grpc("/printmill.v1.AssetService/GetAsset", key, &[0xff]).await;
    assert_eq!(garbage.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn requests_are_counted_by_method_and_code() {
    let world = World::new().await;
    world.wire.get("/v1/assets", world.key_of(0)).await;
    world.wire.get("/v1/assets", "").await;
    world.wire.get("/v1/../made-up", "").await;
    let _ = world.wire.call("OrderService/GetOrder", world.key_of(0), json!({})).await;
    let text = prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    let lists = "method=\"/printmill.v1.AssetService/ListAssets\",protocol=\"http\"} 1";
    assert!(text.contains(&format!("{{code=\"200\",{lists}")), "{text}");
    assert!(text.contains(&format!("{{code=\"401\",{lists}")), "{text}");
    assert!(text.contains("method=\"unknown\""), "{text}");
    assert!(text.contains("protocol=\"grpc\""), "{text}");
    assert!(!text.contains("made-up"), "{text}");
}

#[tokio::test]
async fn more_than_fits_at_once_is_turned_away_with_a_hint_to_come_back() {
    let world = World::with(|options| options.requests_max = 0).await;
    let answer = world.wire.get("/v1/assets", world.key_of(0)).await;
    assert_eq!((answer.code(), answer.status), (Code::Unavailable, 503));
    assert_eq!(answer.header("retry-after"), "1");
    let refusal = world.wire.call("AssetService/ListAssets", "", json!({})).await.unwrap_err();
    assert_eq!(refusal.code, Code::Unavailable);
    assert!(refusal.status.get_error_details().retry_info().is_some());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_and_neither_is_a_late_answer() {
    let world = World::with(|options| options.request_timeout = Duration::from_millis(50)).await;
    let key = &world.facilities[0].1;
    let answer = world.wire.post("/v1/work:lease", key, json!({ "waitMs": 20_000 })).await;
    assert_eq!((answer.code(), answer.status), (Code::Cancelled, 504));
    let authorization = format!("authorization: Bearer {}\r\n", world.key_of(0));
    // Nobody's body is read before it is known who sends it.
    for (authorization, status) in [("", "401"), (authorization.as_str(), "504")] {
        let mut slow = tokio::net::TcpStream::connect(world.wire.address).await.unwrap();
        let head = format!(
            "POST /v1/assets HTTP/1.1\r\nhost: x\r\n{authorization}content-length: 10\r\n\r\n{{"
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        slow.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
    }
}
