//! The gRPC services: each reads a request, calls a capability, and writes the answer.

mod assets;
mod catalogue;
mod consumers;
mod event_watch;
mod events;
mod facilities;
pub(crate) mod keda;
mod lease_stream;
mod leasing;
mod operations;
mod orders;
mod prints;
mod quotes;
mod schedules;
mod watch;
mod work;
mod worker_control;
mod workers;

use crate::auth::Caller;
use crate::convert;
use crate::errors;
use crate::links::Links;
use crate::sign::Signer;
use crate::trace::Trace;
use printmill_assets::Assets;
use printmill_backend::{Blobs, Clock, Database};
use printmill_domain::ids::{FacilityId, MerchantId};
use printmill_domain::problem::Problem;
use printmill_engine::command::{Context, RequestKey};
use printmill_engine::lease::Leases;
use printmill_engine::operations::Operations;
use printmill_engine::settle::Settling;
use printmill_fulfilment::Fulfilment;
use printmill_orders::Orders;
use printmill_prints::Prints;
use printmill_proto::externalscaler::external_scaler_server::ExternalScalerServer;
use printmill_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::options::MESSAGE_BYTES_MAX;
use v1::asset_service_server::AssetServiceServer;
use v1::catalogue_service_server::CatalogueServiceServer;
use v1::event_service_server::EventServiceServer;
use v1::facility_service_server::FacilityServiceServer;
use v1::operations_service_server::OperationsServiceServer;
use v1::order_service_server::OrderServiceServer;
use v1::print_service_server::PrintServiceServer;
use v1::quote_service_server::QuoteServiceServer;
use v1::work_service_server::WorkServiceServer;

/// What the edge calls.
#[derive(Clone)]
pub struct Services {
    /// Keys are looked up there, and watches wait for its commits.
    pub database: Arc<dyn Database>,
    /// Uploads go there, downloads come from there.
    pub blobs: Blobs,
    /// The time, for links.
    pub clock: Arc<dyn Clock>,
    /// Takes in merchants' files.
    pub assets: Assets,
    /// Keeps merchants' designs.
    pub prints: Prints,
    /// Makes offers and takes orders.
    pub orders: Orders,
    /// Serves facilities.
    pub fulfilment: Fulfilment,
    /// Leases tickets to workers and facilities outside.
    pub leases: Leases,
    /// Settles what workers outside did, by the rules of the handlers.
    pub settling: Settling,
    /// Looks into the engine and steers it.
    pub operations: Operations,
}

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) services: Services,
    pub(crate) links: Links,
    pub(crate) signer: Signer,
    /// Places for open streams and downloads.
    pub(crate) streams: Arc<Semaphore>,
    /// Places for uploads.
    pub(crate) uploads: Arc<Semaphore>,
    /// What uploads may hold in memory, in KiB.
    pub(crate) upload_kib: Arc<Semaphore>,
    /// How long a watch of events may be silent.
    pub(crate) heartbeat: Duration,
    /// Set when the node begins to leave.
    pub(crate) stopping: CancellationToken,
}

/// Adds all services of the contract to routes, and KEDA's scaler if it is wanted.
pub(crate) fn add(
    mut routes: tonic::service::Routes,
    edge: &Edge,
    keda: bool,
) -> tonic::service::Routes {
    if keda {
        let scaler = ExternalScalerServer::new(keda::Scaler::new(edge.clone()));
        routes = routes.add_service(scaler.max_decoding_message_size(keda::BYTES_MAX));
    }
    macro_rules! add {
        ($routes:expr, $($server:ident),*) => {
            $routes$(.add_service(
                $server::new(edge.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            ))*
        };
    }
    add!(
        routes,
        AssetServiceServer,
        CatalogueServiceServer,
        EventServiceServer,
        FacilityServiceServer,
        OperationsServiceServer,
        OrderServiceServer,
        PrintServiceServer,
        QuoteServiceServer,
        WorkServiceServer
    )
}

/// An answer on gRPC.
fn answer<T>(result: Result<T, Problem>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|problem| errors::status(&problem))
}

/// Who asks; the layer before has put it there.
fn caller<M>(request: &Request<M>) -> Result<&Caller, Problem> {
    request.extensions().get::<Caller>().ok_or_else(errors::internal)
}

/// The merchant who asks.
fn merchant<M>(request: &Request<M>) -> Result<MerchantId, Problem> {
    caller(request)?.merchant()
}

/// The facility that asks.
fn facility<M>(request: &Request<M>) -> Result<FacilityId, Problem> {
    caller(request)?.facility()
}

/// The `traceparent` of a request.
fn traceparent<M>(request: &Request<M>) -> Option<String> {
    request.extensions().get::<Trace>().map(|trace| trace.own.clone())
}

/// The context of a command: who asks, and what makes a repeated request the same.
fn context<M: Message>(
    request: &Request<M>,
    method: &str,
    request_id: &str,
) -> Result<Context, Problem> {
    context_of(merchant(request)?, request, method, request_id)
}

/// The context of a command on what belongs to a merchant, or to the platform.
fn context_of<M: Message>(
    merchant: MerchantId,
    request: &Request<M>,
    method: &str,
    request_id: &str,
) -> Result<Context, Problem> {
    let request_key = convert::request_id(request_id)?.map(|id| {
        let mut hash = Sha256::new();
        hash.update(method.as_bytes());
        hash.update([0]);
        hash.update(request.get_ref().encode_to_vec());
        RequestKey { id: id.to_owned(), fingerprint: hex::encode(hash.finalize()) }
    });
    Ok(Context {
        merchant,
        request: request_key,
        trace: traceparent(request),
        validate_only: false,
    })
}
