//! Each method of the contract, called by somebody to whom the things do not belong.

use crate::stream::{Protocol, Stream};
use crate::world::{Made, World, recipient};
use printmill_domain::problem::Code;
use serde_json::{Value, json};

/// What a stranger must get.
enum Stranger {
    /// A refusal with this code.
    Gets(Code, Value),
    /// An answer that names nothing of the owner's.
    SeesNothing(Value),
    /// The same as everybody: it belongs to nobody.
    IsWelcome(Value),
}

/// What a stranger who calls a method must get. A method without a case fails the test.
fn case(
    method: &str,
    made: &Made,
    lease_token: &str,
    lane: &str,
    worker: &str,
) -> Option<Stranger> {
    use Stranger::{Gets, IsWelcome, SeesNothing};
    let hidden = |message| Some(Gets(Code::NotFound, message));
    let job = || json!({ "printJobId": made.job });
    let items = json!([{ "printId": made.print, "quantity": 1 }]);
    let layout = json!({ "assetIds": [made.asset], "pageCount": 8 });
    let content = json!({ "sku": "magazine-a5-stapled", "title": "T", "autoLayout": layout });
    match method {
        "AssetService/CreateAsset" => Some(SeesNothing(json!({ "fileName": "b.jpg" }))),
        "AssetService/GetAsset" | "AssetService/GetAssetLink" => {
            hidden(json!({ "assetId": made.asset }))
        }
        "AssetService/ListAssets"
        | "PrintService/ListPrints"
        | "OrderService/ListOrders"
        | "FacilityService/ListPrintJobs" => Some(SeesNothing(json!({}))),
        "CatalogueService/ListProducts" => Some(IsWelcome(json!({}))),
        "CatalogueService/GetProduct" => Some(IsWelcome(json!({ "sku": "photobook-a4-hard" }))),
        "PrintService/CreatePrint" => hidden(json!({ "content": content })),
        "PrintService/RevisePrint" => hidden(json!({ "printId": made.print, "content": content })),
        "PrintService/GetPrint" | "PrintService/ArchivePrint" => {
            hidden(json!({ "printId": made.print }))
        }
        "QuoteService/CreateQuote" => hidden(json!({ "items": items, "country": "DE" })),
        "QuoteService/GetQuote" => hidden(json!({ "quoteId": made.quote })),
        "OrderService/CreateOrder" => {
            hidden(json!({ "quoteId": made.quote, "recipient": recipient() }))
        }
        "OrderService/PayOrder" => {
            hidden(json!({ "orderId": made.order, "paymentMethod": "sandbox" }))
        }
        "OrderService/CancelOrder"
        | "OrderService/GetOrder"
        | "OrderService/ListOrderEvents"
        | "OrderService/WatchOrder" => hidden(json!({ "orderId": made.order })),
        "EventService/ListEvents" | "EventService/Watch" => hidden(json!({ "stream": made.order })),
        "EventService/ListEventCounts" => Some(SeesNothing(json!({}))),
        "OrderService/GetItemFile" => hidden(json!({ "orderId": made.order, "itemId": made.item })),
        "FacilityService/GetPrintJob" | "FacilityService/GetPrintJobFile" => hidden(job()),
        "FacilityService/AcceptPrintJob" => {
            hidden(json!({ "printJobId": made.job, "leaseToken": lease_token }))
        }
        "FacilityService/ReportPrintJob" => {
            hidden(json!({ "printJobId": made.job, "state": "PRINT_JOB_STATE_PRINTING" }))
        }
        _ => work(method, lease_token, lane, worker).or_else(|| operations(method)),
    }
}

/// The same of the methods for workers.
fn work(method: &str, lease_token: &str, lane: &str, worker: &str) -> Option<Stranger> {
    use Stranger::Gets;
    match method {
        "WorkService/LeaseWork" => Some(Gets(Code::PermissionDenied, json!({ "lane": lane }))),
        "WorkService/StreamWork" => {
            let wanted = json!({ "lane": lane, "concurrency": 1 });
            Some(Gets(Code::PermissionDenied, wanted))
        }
        "WorkService/ControlWork" => {
            let lanes = json!([{ "lane": lane, "concurrency": 1 }]);
            Some(Gets(Code::PermissionDenied, json!({ "name": "x", "lanes": lanes })))
        }
        "WorkService/ReportWork" => Some(Gets(Code::NotFound, json!({ "workerId": worker }))),
        "WorkService/CreateWorkUpload" => {
            Some(Gets(Code::LeaseLost, json!({ "leaseToken": lease_token, "size": 1 })))
        }
        "WorkService/ExtendWork" | "WorkService/ReleaseWork" | "WorkService/CompleteWork" => {
            Some(Gets(Code::LeaseLost, json!({ "leaseToken": lease_token })))
        }
        "WorkService/FailWork" => {
            let message = json!({ "leaseToken": lease_token, "message": "paper jam" });
            Some(Gets(Code::LeaseLost, message))
        }
        _ => None,
    }
}

/// The same of the methods for operators.
fn operations(method: &str) -> Option<Stranger> {
    use Stranger::Gets;
    match method {
        "OperationsService/GetTicket"
        | "OperationsService/CancelTicket"
        | "OperationsService/CreateSchedule"
        | "OperationsService/ListConsumers"
        | "OperationsService/ReplayConsumer"
        | "OperationsService/ResumeConsumer"
        | "OperationsService/ListLanes"
        | "OperationsService/ListSchedules"
        | "OperationsService/ListWorkers"
        | "OperationsService/UpdateWorker"
        | "OperationsService/ListDeadTickets"
        | "OperationsService/ReplayTickets" => Some(Gets(Code::PermissionDenied, json!({}))),
        "OperationsService/RunSchedule"
        | "OperationsService/UpdateSchedule"
        | "OperationsService/DeleteSchedule"
        | "OperationsService/PauseSchedule"
        | "OperationsService/ResumeSchedule" => {
            let schedule = json!({ "scheduleId": "housekeeping" });
            Some(Gets(Code::PermissionDenied, schedule))
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_stranger_gets_nothing_from_any_method() {
    let world = World::new().await;
    let made = world.made(0, 0).await;
    let owner = &world.facilities[0];
    let lane = format!("facility-{}", owner.0);
    let leased = world.wire.call("WorkService/LeaseWork", &owner.1, json!({ "count": 1 })).await;
    let leased = leased.unwrap().remove(0);
    let token = leased["leases"][0]["leaseToken"].as_str().unwrap();
    let lanes = json!([{ "lane": lane, "concurrency": 1 }]);
    let said = json!({ "name": "press", "lanes": lanes });
    let control = Stream::open(&world, Protocol::Grpc, "ControlWork", &owner.1, said).await;
    let announced = control.unwrap().next().await.unwrap();
    let worker = announced["workerId"].as_str().unwrap().to_owned();
    let methods: Vec<_> = world.wire.methods().collect();
    assert!(methods.len() >= 27, "the contract has {} methods", methods.len());
    for method in methods {
        let service = method.parent_service().name().to_owned();
        let name = format!("{service}/{}", method.name());
        let stranger = match service.as_str() {
            "FacilityService" | "WorkService" => &world.facilities[1].1,
            _ => world.key_of(1),
        };
        let case = case(&name, &made, token, &lane, &worker);
        let case = case.unwrap_or_else(|| panic!("say what a stranger gets from {name}"));
        match case {
            Stranger::Gets(code, message) => {
                let refusal = world.wire.call(&name, stranger, message).await.unwrap_err();
                assert_eq!(refusal.code, code, "{name}: {:?}", refusal.status);
            }
            Stranger::SeesNothing(message) => {
                let text =
                    format!("{:?}", world.wire.call(&name, stranger, message).await.unwrap());
                for id in [&made.asset, &made.print, &made.order, &made.job] {
                    assert!(!text.contains(id.as_str()), "{name}: {text}");
                }
            }
            Stranger::IsWelcome(message) => {
                world.wire.call(&name, stranger, message).await.unwrap();
            }
        }
    }
    // The owner is not disturbed by any of this.
    let accept = json!({ "printJobId": made.job, "leaseToken": token });
    let job = world.wire.call("FacilityService/AcceptPrintJob", &owner.1, accept).await.unwrap();
    assert_eq!(job[0]["state"], "PRINT_JOB_STATE_ACCEPTED");
}

#[tokio::test]
async fn no_method_of_ours_answers_without_a_key_or_with_one_of_another_scope() {
    let world = World::new().await;
    for method in world.wire.methods() {
        let service = method.parent_service();
        let path = format!("/{}/{}", service.full_name(), method.name());
        let refusal = world.wire.grpc(&path, "", &[]).await.unwrap_err();
        assert_eq!(refusal.code, Code::Unauthenticated, "{path}");
        let other = match service.name() {
            "FacilityService" | "WorkService" => world.key_of(0),
            _ => &world.facilities[0].1,
        };
        let refusal = world.wire.grpc(&path, other, &[]).await.unwrap_err();
        assert_eq!(refusal.code, Code::PermissionDenied, "{path}");
    }
}
