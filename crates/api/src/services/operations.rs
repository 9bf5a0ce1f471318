//! `OperationsService`.

use super::{Edge, Services, answer, caller, context_of, workers};
use crate::convert::schedules::schedule;
use crate::convert::{self, operations, tickets};
use crate::page;
use printmill_domain::ids::{MerchantId, ScheduleId};
use printmill_domain::problem::Problem;
use printmill_engine::command::{Commands, Context};
use printmill_engine::schedules::Schedules;
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

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        let found = async {
            caller(&request)?.operator()?;
            let wanted = request.get_ref();
            let page = page::page::<ScheduleId>(wanted.page_size, &wanted.page_token, None)?;
            let found = self.schedules().list(page.clone()).await?;
            let last = found.last().map(|schedule| schedule.id.to_string());
            Ok(v1::ListSchedulesResponse {
                next_page_token: page::next(&page, found.len(), last),
                schedules: found.iter().map(schedule).collect(),
            })
        };
        answer(found.await)
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::RunScheduleResponse>, Status> {
        let run = async {
            let v1::RunScheduleRequest { schedule_id, request_id } = request.get_ref();
            let context = operator_context(&request, "RunSchedule", request_id)?;
            let (found, ticket) = self.schedules().run(&context, schedule_id).await?;
            let (schedule, ticket_id) = (Some(schedule(&found)), ticket.to_string());
            Ok(v1::RunScheduleResponse { schedule, ticket_id })
        };
        answer(run.await)
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let paused = async {
            let v1::PauseScheduleRequest { schedule_id, request_id } = request.get_ref();
            let context = operator_context(&request, "PauseSchedule", request_id)?;
            Ok(schedule(&self.schedules().pause(&context, schedule_id).await?))
        };
        answer(paused.await)
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let resumed = async {
            let v1::ResumeScheduleRequest { schedule_id, request_id } = request.get_ref();
            let context = operator_context(&request, "ResumeSchedule", request_id)?;
            Ok(schedule(&self.schedules().resume(&context, schedule_id).await?))
        };
        answer(resumed.await)
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

impl Edge {
    fn schedules(&self) -> Schedules {
        let Services { database, clock, .. } = &self.services;
        Schedules::new(Commands::new(database.clone(), clock.clone()))
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
