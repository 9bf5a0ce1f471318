//! `CatalogueService`.

use super::{Edge, answer};
use crate::convert::catalogue::product;
use printmill_domain::catalogue;
use printmill_domain::problem::{Code, Problem};
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::catalogue_service_server::CatalogueService for Edge {
    async fn list_products(
        &self,
        _request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        let products = catalogue::PRODUCTS.iter().map(product).collect();
        answer(Ok(v1::ListProductsResponse { products }))
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::Product>, Status> {
        let found = catalogue::product(&request.get_ref().sku);
        // Somebody who asks for one product by name misses a thing, not a field's value.
        let found = found.map_err(|unknown| Problem { code: Code::NotFound, ..unknown });
        answer(found.map(product))
    }
}
