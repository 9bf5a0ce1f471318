//! `OrderService`.

use super::watch::{Watching, watch};
use super::{Edge, answer, context, merchant};
use crate::convert;
use crate::convert::orders::{after, event, new_order, order, state_filter};
use crate::{errors, page};
use printmill_domain::ids::{ItemId, OrderId};
use printmill_domain::problem::Problem;
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::order_service_server::OrderService for Edge {
    type WatchOrderStream = Watching;

    async fn create_order(
        &self,
        request: Request<v1::CreateOrderRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        let placed = async {
            let mut context = context(&request, "CreateOrder", &request.get_ref().request_id)?;
            context.validate_only = request.get_ref().validate_only;
            let new = new_order(request.get_ref())?;
            Ok(order(&self.services.orders.place(&context, new).await?))
        };
        answer(placed.await)
    }

    async fn pay_order(
        &self,
        request: Request<v1::PayOrderRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        let paid = async {
            let context = context(&request, "PayOrder", &request.get_ref().request_id)?;
            let id = convert::id("order_id", &request.get_ref().order_id)?;
            let method = request.get_ref().payment_method.clone();
            Ok(order(&self.services.orders.pay(&context, &id, method).await?))
        };
        answer(paid.await)
    }

    async fn cancel_order(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        let cancelled = async {
            let context = context(&request, "CancelOrder", &request.get_ref().request_id)?;
            let id = convert::id("order_id", &request.get_ref().order_id)?;
            Ok(order(&self.services.orders.cancel(&context, &id).await?))
        };
        answer(cancelled.await)
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        let found = async {
            let id = convert::id("order_id", &request.get_ref().order_id)?;
            Ok(order(&self.services.orders.get(merchant(&request)?, &id).await?))
        };
        answer(found.await)
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        let found = async {
            let wanted = request.get_ref();
            let state = state_filter(wanted.state());
            let page = page::page::<OrderId>(wanted.page_size, &wanted.page_token, state)?;
            let found = self.services.orders.list(merchant(&request)?, page.clone()).await?;
            let last = found.last().map(|order| order.id.to_string());
            Ok(v1::ListOrdersResponse {
                next_page_token: page::next(&page, found.len(), last),
                orders: found.iter().map(order).collect(),
            })
        };
        answer(found.await)
    }

    async fn list_order_events(
        &self,
        request: Request<v1::ListOrderEventsRequest>,
    ) -> Result<Response<v1::ListOrderEventsResponse>, Status> {
        let found = async {
            let wanted = request.get_ref();
            let id = convert::id("order_id", &wanted.order_id)?;
            let limit = page::page::<OrderId>(wanted.page_size, "", None)?.limit;
            let after = after(wanted.after_sequence)?;
            let merchant = merchant(&request)?;
            let events = self.services.orders.events(merchant, &id, after, limit).await?;
            Ok(v1::ListOrderEventsResponse { events: events.iter().map(event).collect() })
        };
        answer(found.await)
    }

    async fn watch_order(
        &self,
        request: Request<v1::WatchOrderRequest>,
    ) -> Result<Response<Watching>, Status> {
        let watching = async {
            let merchant = merchant(&request)?;
            let id: OrderId = convert::id("order_id", &request.get_ref().order_id)?;
            let after = after(request.get_ref().after_sequence)?;
            self.services.orders.get(merchant, &id).await?;
            let place = self.streams.clone().try_acquire_owned().map_err(|_| errors::busy())?;
            Ok(watch(self, merchant, id, after, place))
        };
        answer(watching.await)
    }

    async fn get_item_file(
        &self,
        request: Request<v1::GetItemFileRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        answer(self.item_file(request).await)
    }
}

impl Edge {
    async fn item_file(
        &self,
        request: Request<v1::GetItemFileRequest>,
    ) -> Result<v1::Link, Problem> {
        let merchant = merchant(&request)?;
        let order: OrderId = convert::id("order_id", &request.get_ref().order_id)?;
        let item: ItemId = convert::id("item_id", &request.get_ref().item_id)?;
        let found = self.services.orders.get(merchant, &order).await?;
        let file = found.item(item)?.file.as_ref().ok_or_else(|| {
            Problem::invalid_state(
                format!("the file of {item} has not been made yet"),
                "wait until the item is rendered",
            )
        })?;
        let now = self.services.clock.now();
        let name = format!("{item}.pdf");
        Ok(self.links.download(merchant, file, &name, "application/pdf", now))
    }
}
