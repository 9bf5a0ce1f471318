//! `OperationsService`.

use super::{Edge, answer, caller};
use crate::convert::{self, operations, tickets};
use printmill_domain::problem::Problem;
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::operations_service_server::OperationsService for Edge {
    async fn list_lanes(
        &self,
        request: Request<v1::ListLanesRequest>,
    ) -> Result<Response<v1::ListLanesResponse>, Status> {
        let listed = async {
            caller(&request)?.operator()?;
            let by_merchant = request.get_ref().by_merchant;
            let lanes = self.services.operations.lanes(by_merchant).await?;
            let lanes = lanes.into_iter().map(operations::lane_load).collect();
            Ok::<_, Problem>(v1::ListLanesResponse { lanes })
        };
        answer(listed.await)
    }

    async fn get_ticket(
        &self,
        request: Request<v1::GetTicketRequest>,
    ) -> Result<Response<v1::Ticket>, Status> {
        let found = async {
            caller(&request)?.operator()?;
            let id = convert::id("ticket_id", &request.get_ref().ticket_id)?;
            let found = self.services.operations.ticket(id).await?;
            Ok::<_, Problem>(tickets::ticket(&found))
        };
        answer(found.await)
    }
}
