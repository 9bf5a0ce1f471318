//! The typed client: one method for each method of the contract.

use crate::call::{Connection, Credentials};
use crate::error::ClientError;
use crate::event_watch::EventWatch;
use crate::v1;
use crate::watch::OrderWatch;
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use v1::asset_service_client::AssetServiceClient;
use v1::catalogue_service_client::CatalogueServiceClient;
use v1::event_service_client::EventServiceClient;
use v1::facility_service_client::FacilityServiceClient;
use v1::operations_service_client::OperationsServiceClient;
use v1::order_service_client::OrderServiceClient;
use v1::print_service_client::PrintServiceClient;
use v1::quote_service_client::QuoteServiceClient;
use v1::work_service_client::WorkServiceClient;

pub(crate) type Transport = InterceptedService<Channel, Credentials>;

/// A fresh request id. A call that is repeated with the same id and content happens once.
pub fn fresh_request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A client with a key. Cheap to clone; all clones share one connection.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
}

/// Writes a method that sends one message and repeats it while that can help.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident: $service:ident($message:ty) -> $answer:ty;)*) => {$(
        $(#[$doc])*
        pub async fn $name(&self, message: $message) -> Result<$answer, ClientError> {
            let send = |request| {
                let mut service = self.$service();
                async move { service.$name(request).await }
            };
            self.connection.call(message, send).await
        }
    )*};
}

/// Like `methods`, for messages with a request id: an empty one is filled in, so that repeating
/// is safe.
macro_rules! mutating_methods {
    ($($(#[$doc:meta])* $name:ident: $service:ident($message:ty) -> $answer:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// An empty `request_id` is filled in.
        pub async fn $name(&self, mut message: $message) -> Result<$answer, ClientError> {
            if message.request_id.is_empty() {
                message.request_id = fresh_request_id();
            }
            let send = |request| {
                let mut service = self.$service();
                async move { service.$name(request).await }
            };
            self.connection.call(message, send).await
        }
    )*};
}

macro_rules! services {
    ($($name:ident: $client:ident;)*) => {$(
        pub(crate) fn $name(&self) -> $client<Transport> {
            let Connection { channel, credentials, .. } = &self.connection;
            $client::with_interceptor(channel.clone(), credentials.clone())
        }
    )*};
}

impl Client {
    /// A client on a connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// A client of a server, as in `http://127.0.0.1:7070`. Nothing is sent yet.
    pub fn connect(server: &str, key: Option<&str>) -> Result<Self, ClientError> {
        Ok(Self::new(Connection::new(server, key)?))
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same client, for calls that belong to a trace (a W3C `traceparent`).
    pub fn with_trace(&self, traceparent: Option<&str>) -> Self {
        Self::new(self.connection.clone().with_trace(traceparent))
    }

    /// All products.
    pub async fn list_products(&self) -> Result<Vec<v1::Product>, ClientError> {
        let send = |request| {
            let mut service = self.catalogue();
            async move { service.list_products(request).await }
        };
        Ok(self.connection.call(v1::ListProductsRequest {}, send).await?.products)
    }

    /// What happened to an order after a place in its history, and what happens from now on,
    /// until it is shipped or cancelled. Goes on by itself after the connection broke.
    pub fn watch_order(&self, order: &str, after_sequence: i64) -> OrderWatch {
        OrderWatch::new(self.clone(), order.to_owned(), after_sequence)
    }

    /// What happens in the whole account, from the place that the request names on. Goes on by
    /// itself after the connection broke, and never ends.
    pub fn watch_events(&self, wanted: v1::WatchEventsRequest) -> EventWatch {
        EventWatch::new(self.clone(), wanted)
    }

    /// Leases tickets, waiting for the first. Not repeated: the caller asks again anyway.
    pub async fn lease_work(
        &self,
        message: v1::LeaseWorkRequest,
    ) -> Result<Vec<v1::Lease>, ClientError> {
        let limit = Duration::from_millis(message.wait_ms.into()) + Duration::from_secs(10);
        let mut request = tonic::Request::new(message);
        request.set_timeout(limit);
        let mut work = self.work();
        match tokio::time::timeout(limit, work.lease_work(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().leases),
            Ok(Err(status)) => Err(self.connection.error(&status)),
            Err(_) => Err(ClientError::unreachable(self.connection.server(), "it took too long")),
        }
    }

    mutating_methods! {
        /// Announces a file and gets the address to upload it to.
        create_asset: assets(v1::CreateAssetRequest) -> v1::CreateAssetResponse;
        /// A new design.
        create_print: prints(v1::CreatePrintRequest) -> v1::Print;
        /// Another revision of a design.
        revise_print: prints(v1::RevisePrintRequest) -> v1::Print;
        /// No more orders of a design.
        archive_print: prints(v1::ArchivePrintRequest) -> v1::Print;
        /// An offer at a fixed price.
        create_quote: quotes(v1::CreateQuoteRequest) -> v1::Quote;
        /// Places an order.
        create_order: orders(v1::CreateOrderRequest) -> v1::Order;
        /// Pays an order.
        pay_order: orders(v1::PayOrderRequest) -> v1::Order;
        /// Cancels an order that nobody has begun to pay.
        cancel_order: orders(v1::CancelOrderRequest) -> v1::Order;
        /// Runs a schedule now, out of turn. Needs an operator's key, as the next two do.
        run_schedule: operations(v1::RunScheduleRequest) -> v1::RunScheduleResponse;
        /// Lets a schedule stand still.
        pause_schedule: operations(v1::PauseScheduleRequest) -> v1::Schedule;
        /// Lets a schedule go on.
        resume_schedule: operations(v1::ResumeScheduleRequest) -> v1::Schedule;
        /// Makes a schedule. Needs an operator's key, as the next two do.
        create_schedule: operations(v1::CreateScheduleRequest) -> v1::Schedule;
        /// Changes a schedule; what is left out stays.
        update_schedule: operations(v1::UpdateScheduleRequest) -> v1::Schedule;
        /// Deletes a schedule.
        delete_schedule: operations(v1::DeleteScheduleRequest) -> v1::Schedule;
        /// Changes what is wanted of a worker. Needs an operator's key.
        update_worker: operations(v1::UpdateWorkerRequest) -> v1::Worker;
    }

    methods! {
        /// One product.
        get_product: catalogue(v1::GetProductRequest) -> v1::Product;
        /// One asset.
        get_asset: assets(v1::GetAssetRequest) -> v1::Asset;
        /// A page of assets, newest first.
        list_assets: assets(v1::ListAssetsRequest) -> v1::ListAssetsResponse;
        /// A signed address to download an asset from.
        get_asset_link: assets(v1::GetAssetLinkRequest) -> v1::Link;
        /// One design.
        get_print: prints(v1::GetPrintRequest) -> v1::Print;
        /// A page of designs, newest first.
        list_prints: prints(v1::ListPrintsRequest) -> v1::ListPrintsResponse;
        /// One offer.
        get_quote: quotes(v1::GetQuoteRequest) -> v1::Quote;
        /// One order.
        get_order: orders(v1::GetOrderRequest) -> v1::Order;
        /// A page of orders, newest first.
        list_orders: orders(v1::ListOrdersRequest) -> v1::ListOrdersResponse;
        /// A page of what happened to an order, oldest first.
        list_order_events: orders(v1::ListOrderEventsRequest) -> v1::ListOrderEventsResponse;
        /// A page of what happened in the whole account, oldest first.
        list_events: events(v1::ListEventsRequest) -> v1::ListEventsResponse;
        /// A page of days with their events counted, latest first.
        list_event_counts: events(v1::ListEventCountsRequest) -> v1::ListEventCountsResponse;
        /// A signed address to download an item's print-ready file from.
        get_item_file: orders(v1::GetItemFileRequest) -> v1::Link;
        /// Says what an announced worker holds and acts on.
        report_work: work(v1::ReportWorkRequest) -> v1::ReportWorkResponse;
        /// Says that the work on a leased ticket goes on.
        extend_work: work(v1::ExtendWorkRequest) -> v1::ExtendWorkResponse;
        /// Says that the work on a leased ticket is done.
        complete_work: work(v1::CompleteWorkRequest) -> v1::CompleteWorkResponse;
        /// A signed address to upload a file to that the work made.
        create_work_upload: work(v1::CreateWorkUploadRequest) -> v1::Link;
        /// Hands a leased ticket back unharmed.
        release_work: work(v1::ReleaseWorkRequest) -> v1::ReleaseWorkResponse;
        /// Says that the attempt failed.
        fail_work: work(v1::FailWorkRequest) -> v1::FailWorkResponse;
        /// How much work waits and runs in each lane. Needs an operator's key.
        list_lanes: operations(v1::ListLanesRequest) -> v1::ListLanesResponse;
        /// A ticket with its history. Needs an operator's key.
        get_ticket: operations(v1::GetTicketRequest) -> v1::Ticket;
        /// A page of tickets that were given up. Needs an operator's key.
        list_dead_tickets: operations(v1::ListDeadTicketsRequest) -> v1::ListDeadTicketsResponse;
        /// Has tickets that were given up tried again. Needs an operator's key.
        replay_tickets: operations(v1::ReplayTicketsRequest) -> v1::ReplayTicketsResponse;
        /// Cancels a ticket. Needs an operator's key.
        cancel_ticket: operations(v1::CancelTicketRequest) -> v1::Ticket;
        /// Who reads the event log. Needs an operator's key, as the next two do.
        list_consumers: operations(v1::ListConsumersRequest) -> v1::ListConsumersResponse;
        /// Has a consumer read again from an earlier place or time on.
        replay_consumer: operations(v1::ReplayConsumerRequest) -> v1::ReplayConsumerResponse;
        /// Has a stream that waits tried again now.
        resume_consumer: operations(v1::ResumeConsumerRequest) -> v1::Consumer;
        /// A page of schedules. Needs an operator's key.
        list_schedules: operations(v1::ListSchedulesRequest) -> v1::ListSchedulesResponse;
        /// A page of workers. Needs an operator's key.
        list_workers: operations(v1::ListWorkersRequest) -> v1::ListWorkersResponse;
        /// One of the facility's print jobs.
        get_print_job: facilities(v1::GetPrintJobRequest) -> v1::PrintJob;
        /// A page of the facility's print jobs, newest first.
        list_print_jobs: facilities(v1::ListPrintJobsRequest) -> v1::ListPrintJobsResponse;
        /// A signed address to download a print job's file from.
        get_print_job_file: facilities(v1::GetPrintJobFileRequest) -> v1::Link;
        /// Takes a leased print job on.
        accept_print_job: facilities(v1::AcceptPrintJobRequest) -> v1::PrintJob;
        /// Reports on a print job. Reports that come twice change nothing.
        report_print_job: facilities(v1::ReportPrintJobRequest) -> v1::PrintJob;
    }

    services! {
        assets: AssetServiceClient;
        catalogue: CatalogueServiceClient;
        events: EventServiceClient;
        facilities: FacilityServiceClient;
        operations: OperationsServiceClient;
        orders: OrderServiceClient;
        prints: PrintServiceClient;
        quotes: QuoteServiceClient;
        work: WorkServiceClient;
    }
}
