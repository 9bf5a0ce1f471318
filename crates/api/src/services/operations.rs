//! `OperationsService`.

use super::{Edge, Services, answer, caller, consumers, context_of, schedules, workers};
use crate::convert::{self, operations, tickets};
use crate::page;
use printmill_domain::ids::MerchantId;
use printmill_domain::problem::Problem;
use printmill_engine::cancel::cancel;
use printmill_engine::command::Context;
use printmill_proto::v1;
use prost::Message;
use tonic::{Request, Response, Status};

/// The most tickets that one call has tried again.
const REPLAYED_MAX: u32 = 1_000;

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

    async fn list_dead_tickets(
        &self,
        request: Request<v1::ListDeadTicketsRequest>,
    ) -> Result<Response<v1::ListDeadTicketsResponse>, Status> {
        let listed = async {
            caller(&request)?.operator()?;
            let wanted = request.get_ref();
            let limit = page::size(wanted.page_size)?;
            let mut query = operations::dead_query(wanted.filter.as_ref())?;
            query.after = page::ticket_place(&wanted.page_token)?;
            let found = self.services.operations.dead_tickets(query, limit).await?;
            Ok(v1::ListDeadTicketsResponse {
                next_page_token: page::after_tickets(&found, limit),
                tickets: found.iter().map(operations::dead_ticket).collect(),
            })
        };
        answer(listed.await)
    }

    async fn replay_tickets(
        &self,
        request: Request<v1::ReplayTicketsRequest>,
    ) -> Result<Response<v1::ReplayTicketsResponse>, Status> {
        let replayed = async {
            caller(&request)?.operator()?;
            let wanted = request.get_ref();
            let operations = &self.services.operations;
            let replayed = match (wanted.ticket_id.as_str(), &wanted.filter) {
                ("", Some(filter)) => {
                    let query = operations::dead_query(Some(filter))?;
                    operations.replay_all(query, REPLAYED_MAX).await?
                }
                (id, None) => {
                    vec![operations.replay(convert::id("ticket_id", id)?).await?.id]
                }
                _ => {
                    let either = "must be empty when there is a filter";
                    return Err(Problem::invalid_field("ticket_id", either));
                }
            };
            Ok(v1::ReplayTicketsResponse {
                more: replayed.len() >= REPLAYED_MAX as usize,
                ticket_ids: replayed.iter().map(ToString::to_string).collect(),
            })
        };
        answer(replayed.await)
    }

    async fn cancel_ticket(
        &self,
        request: Request<v1::CancelTicketRequest>,
    ) -> Result<Response<v1::Ticket>, Status> {
        let cancelled = async {
            caller(&request)?.operator()?;
            let v1::CancelTicketRequest { ticket_id, reason } = request.get_ref();
            let id = convert::id("ticket_id", ticket_id)?;
            let why = operations::cancel_reason(reason)?;
            let Services { database, clock, settling, .. } = &self.services;
            let cancelled = cancel(&**database, &**clock, settling.handlers(), id, &why);
            Ok::<_, Problem>(tickets::ticket(&cancelled.await?))
        };
        answer(cancelled.await)
    }

    async fn create_schedule(
        &self,
        request: Request<v1::CreateScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        answer(schedules::create(self, &request).await)
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        answer(schedules::update(self, &request).await)
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        answer(schedules::delete(self, &request).await)
    }

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        answer(schedules::list(self, &request).await)
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::RunScheduleResponse>, Status> {
        answer(schedules::run(self, &request).await)
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        answer(schedules::pause(self, &request).await)
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        answer(schedules::resume(self, &request).await)
    }

    async fn list_consumers(
        &self,
        request: Request<v1::ListConsumersRequest>,
    ) -> Result<Response<v1::ListConsumersResponse>, Status> {
        answer(consumers::list(self, &request).await)
    }

    async fn replay_consumer(
        &self,
        request: Request<v1::ReplayConsumerRequest>,
    ) -> Result<Response<v1::ReplayConsumerResponse>, Status> {
        answer(consumers::replay(self, &request).await)
    }

    async fn resume_consumer(
        &self,
        request: Request<v1::ResumeConsumerRequest>,
    ) -> Result<Response<v1::Consumer>, Status> {
        answer(consumers::resume(self, &request).await)
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        answer(workers::list(self, &request).await)
    }

    async fn update_worker(
        &self,
        request: Request<v1::UpdateWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        answer(workers::update(self, &request).await)
    }
}

/// The context of an operator's command, which is about what belongs to the platform.
pub(super) fn operator_context<M: Message>(
    request: &Request<M>,
    method: &str,
    request_id: &str,
) -> Result<Context, Problem> {
    caller(request)?.operator()?;
    context_of(MerchantId::PLATFORM, request, method, request_id)
}
