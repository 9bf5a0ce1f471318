//! `PrintService`.

use super::{Edge, answer, context, merchant};
use crate::convert;
use crate::convert::prints::{design, expected, located, print};
use crate::page;
use printmill_domain::ids::PrintId;
use printmill_domain::problem::Problem;
use printmill_prints::Layout;
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::print_service_server::PrintService for Edge {
    async fn create_print(
        &self,
        request: Request<v1::CreatePrintRequest>,
    ) -> Result<Response<v1::Print>, Status> {
        answer(self.design(request).await)
    }

    async fn revise_print(
        &self,
        request: Request<v1::RevisePrintRequest>,
    ) -> Result<Response<v1::Print>, Status> {
        answer(self.revise(request).await)
    }

    async fn get_print(
        &self,
        request: Request<v1::GetPrintRequest>,
    ) -> Result<Response<v1::Print>, Status> {
        let found = async {
            let id = convert::id("print_id", &request.get_ref().print_id)?;
            let found = self.services.prints.get(merchant(&request)?, &id).await?;
            let revision = request.get_ref().revision;
            print(&found, Some(revision).filter(|number| *number > 0))
        };
        answer(found.await)
    }

    async fn list_prints(
        &self,
        request: Request<v1::ListPrintsRequest>,
    ) -> Result<Response<v1::ListPrintsResponse>, Status> {
        let found = async {
            let wanted = request.get_ref();
            let page = page::page::<PrintId>(wanted.page_size, &wanted.page_token, None)?;
            let found = self.services.prints.list(merchant(&request)?, page.clone()).await?;
            let last = found.last().map(|print| print.id.to_string());
            Ok(v1::ListPrintsResponse {
                next_page_token: page::next(&page, found.len(), last),
                prints: found.iter().map(|it| print(it, None)).collect::<Result<_, _>>()?,
            })
        };
        answer(found.await)
    }

    async fn archive_print(
        &self,
        request: Request<v1::ArchivePrintRequest>,
    ) -> Result<Response<v1::Print>, Status> {
        let archived = async {
            let context = context(&request, "ArchivePrint", &request.get_ref().request_id)?;
            let id = convert::id("print_id", &request.get_ref().print_id)?;
            print(&self.services.prints.archive(&context, &id).await?, None)
        };
        answer(archived.await)
    }
}

impl Edge {
    async fn design(&self, request: Request<v1::CreatePrintRequest>) -> Result<v1::Print, Problem> {
        let mut context = context(&request, "CreatePrint", &request.get_ref().request_id)?;
        let request = request.into_inner();
        context.validate_only = request.validate_only;
        let design = design(request.content)?;
        let automatic = matches!(design.layout, Layout::Auto { .. });
        let created = self.services.prints.create(&context, design).await;
        print(&created.map_err(|problem| located(problem, automatic))?, None)
    }

    async fn revise(&self, request: Request<v1::RevisePrintRequest>) -> Result<v1::Print, Problem> {
        let context = context(&request, "RevisePrint", &request.get_ref().request_id)?;
        let request = request.into_inner();
        let id = convert::id("print_id", &request.print_id)?;
        let version = expected(&request.etag)?;
        let design = design(request.content)?;
        let automatic = matches!(design.layout, Layout::Auto { .. });
        let revised = self.services.prints.revise(&context, &id, version, design).await;
        print(&revised.map_err(|problem| located(problem, automatic))?, None)
    }
}
