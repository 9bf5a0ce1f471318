//! `QuoteService`.

use super::{Edge, answer, context, merchant};
use crate::convert;
use crate::convert::quotes::{new_quote, quote};
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::quote_service_server::QuoteService for Edge {
    async fn create_quote(
        &self,
        request: Request<v1::CreateQuoteRequest>,
    ) -> Result<Response<v1::Quote>, Status> {
        let offered = async {
            let context = context(&request, "CreateQuote", &request.get_ref().request_id)?;
            let new = new_quote(request.get_ref())?;
            Ok(quote(&self.services.orders.quote(&context, new).await?.value))
        };
        answer(offered.await)
    }

    async fn get_quote(
        &self,
        request: Request<v1::GetQuoteRequest>,
    ) -> Result<Response<v1::Quote>, Status> {
        let found = async {
            let id = convert::id("quote_id", &request.get_ref().quote_id)?;
            Ok(quote(&self.services.orders.get_quote(merchant(&request)?, &id).await?.value))
        };
        answer(found.await)
    }
}
