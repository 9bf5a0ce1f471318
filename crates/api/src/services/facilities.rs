//! `FacilityService`.

use super::{Edge, answer, facility, traceparent};
use crate::convert;
use crate::convert::facilities::{print_job, report, state_filter};
use crate::lease_token::LeaseToken;
use crate::page;
use printmill_domain::ids::PrintJobId;
use printmill_domain::problem::Problem;
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::facility_service_server::FacilityService for Edge {
    async fn list_print_jobs(
        &self,
        request: Request<v1::ListPrintJobsRequest>,
    ) -> Result<Response<v1::ListPrintJobsResponse>, Status> {
        let found = async {
            let wanted = request.get_ref();
            let state = state_filter(wanted.state());
            let page = page::page::<PrintJobId>(wanted.page_size, &wanted.page_token, state)?;
            let facility = facility(&request)?;
            let found = self.services.fulfilment.list_jobs(facility, page.clone()).await?;
            let last = found.last().map(|job| job.id.to_string());
            Ok(v1::ListPrintJobsResponse {
                next_page_token: page::next(&page, found.len(), last),
                print_jobs: found.iter().map(print_job).collect(),
            })
        };
        answer(found.await)
    }

    async fn get_print_job(
        &self,
        request: Request<v1::GetPrintJobRequest>,
    ) -> Result<Response<v1::PrintJob>, Status> {
        let found = async {
            let id = convert::id("print_job_id", &request.get_ref().print_job_id)?;
            Ok(print_job(&self.services.fulfilment.get_job(facility(&request)?, &id).await?))
        };
        answer(found.await)
    }

    async fn get_print_job_file(
        &self,
        request: Request<v1::GetPrintJobFileRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        let found = async {
            let id = convert::id("print_job_id", &request.get_ref().print_job_id)?;
            let job = self.services.fulfilment.get_job(facility(&request)?, &id).await?;
            let file = job.file.as_ref().ok_or_else(|| {
                Problem::invalid_state(
                    format!("the file of {id} has not been made yet"),
                    "wait until the print job is ready",
                )
            })?;
            let now = self.services.clock.now();
            let name = format!("{id}.pdf");
            Ok(self.links.download(job.merchant, file, &name, "application/pdf", now))
        };
        answer(found.await)
    }

    async fn accept_print_job(
        &self,
        request: Request<v1::AcceptPrintJobRequest>,
    ) -> Result<Response<v1::PrintJob>, Status> {
        let accepted = async {
            let facility = facility(&request)?;
            let id = convert::id("print_job_id", &request.get_ref().print_job_id)?;
            // A job of another facility is not there, whatever the token says.
            self.services.fulfilment.get_job(facility, &id).await?;
            let token = LeaseToken::open(&self.signer, &request.get_ref().lease_token)?;
            let (fence, receipt) = (&token.fence, token.receipt());
            let job = self.services.fulfilment.accept(facility, &id, fence, &receipt).await?;
            Ok(print_job(&job))
        };
        answer(accepted.await)
    }

    async fn report_print_job(
        &self,
        request: Request<v1::ReportPrintJobRequest>,
    ) -> Result<Response<v1::PrintJob>, Status> {
        let reported = async {
            let facility = facility(&request)?;
            let id = convert::id("print_job_id", &request.get_ref().print_job_id)?;
            let report = report(request.get_ref())?;
            let trace = traceparent(&request);
            let job = self.services.fulfilment.report(facility, &id, report, trace).await?;
            Ok(print_job(&job))
        };
        answer(reported.await)
    }
}
