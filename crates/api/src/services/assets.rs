//! `AssetService`.

use super::{Edge, answer, context, merchant};
use crate::convert;
use crate::convert::assets::{asset, new_asset};
use crate::page;
use printmill_domain::ids::AssetId;
use printmill_domain::problem::{Code, Problem};
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::asset_service_server::AssetService for Edge {
    async fn create_asset(
        &self,
        request: Request<v1::CreateAssetRequest>,
    ) -> Result<Response<v1::CreateAssetResponse>, Status> {
        answer(self.announce(request).await)
    }

    async fn get_asset(
        &self,
        request: Request<v1::GetAssetRequest>,
    ) -> Result<Response<v1::Asset>, Status> {
        let found = async {
            let id = convert::id("asset_id", &request.get_ref().asset_id)?;
            let found = self.services.assets.get(merchant(&request)?, &id).await?;
            Ok(asset(&found))
        };
        answer(found.await)
    }

    async fn list_assets(
        &self,
        request: Request<v1::ListAssetsRequest>,
    ) -> Result<Response<v1::ListAssetsResponse>, Status> {
        let found = async {
            let wanted = request.get_ref();
            let page = page::page::<AssetId>(wanted.page_size, &wanted.page_token, None)?;
            let found = self.services.assets.list(merchant(&request)?, page.clone()).await?;
            let last = found.last().map(|asset| asset.id.to_string());
            Ok(v1::ListAssetsResponse {
                next_page_token: page::next(&page, found.len(), last),
                assets: found.iter().map(asset).collect(),
            })
        };
        answer(found.await)
    }

    async fn get_asset_link(
        &self,
        request: Request<v1::GetAssetLinkRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        answer(self.asset_link(request).await)
    }
}

impl Edge {
    async fn announce(
        &self,
        request: Request<v1::CreateAssetRequest>,
    ) -> Result<v1::CreateAssetResponse, Problem> {
        let context = context(&request, "CreateAsset", &request.get_ref().request_id)?;
        let new = new_asset(request.get_ref())?;
        let created = self.services.assets.announce(&context, new).await?;
        let now = self.services.clock.now();
        let announced = created.announced.as_ref();
        let upload = self.links.upload(created.merchant, created.id, announced, now);
        Ok(v1::CreateAssetResponse { asset: Some(asset(&created)), upload: Some(upload) })
    }

    async fn asset_link(
        &self,
        request: Request<v1::GetAssetLinkRequest>,
    ) -> Result<v1::Link, Problem> {
        let id = convert::id("asset_id", &request.get_ref().asset_id)?;
        let merchant = merchant(&request)?;
        let found = self.services.assets.get(merchant, &id).await?;
        let blob = found.blob.as_ref().ok_or_else(|| {
            Problem::new(
                Code::AssetNotReady,
                format!("{id} has not been uploaded yet"),
                "upload the file to the address that CreateAsset answered",
            )
        })?;
        let media_type = found.picture.as_ref().map(|picture| picture.media_type.as_str());
        let media_type = media_type.unwrap_or("application/octet-stream");
        let now = self.services.clock.now();
        Ok(self.links.download(merchant, blob, &found.file_name, media_type, now))
    }
}
