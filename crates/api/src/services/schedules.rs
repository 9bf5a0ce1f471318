//! `OperationsService`: its part about schedules.

use super::operations::operator_context;
use super::{Edge, Services, caller};
use crate::convert::schedules::{change, definition, schedule};
use crate::page;
use printmill_domain::ids::ScheduleId;
use printmill_domain::problem::Problem;
use printmill_engine::command::Commands;
use printmill_engine::schedules::Schedules;
use printmill_proto::v1;
use tonic::Request;

impl Edge {
    fn schedules(&self) -> Schedules {
        let Services { database, clock, .. } = &self.services;
        Schedules::new(Commands::new(database.clone(), clock.clone()))
    }
}

pub(super) async fn create(
    edge: &Edge,
    request: &Request<v1::CreateScheduleRequest>,
) -> Result<v1::Schedule, Problem> {
    let wanted = request.get_ref();
    let context = operator_context(request, "CreateSchedule", &wanted.request_id)?;
    let (definition, handlers) = (definition(wanted)?, edge.services.settling.handlers());
    Ok(schedule(&edge.schedules().create(&context, &definition, handlers).await?))
}

pub(super) async fn update(
    edge: &Edge,
    request: &Request<v1::UpdateScheduleRequest>,
) -> Result<v1::Schedule, Problem> {
    let wanted = request.get_ref();
    let context = operator_context(request, "UpdateSchedule", &wanted.request_id)?;
    let (change, handlers) = (change(wanted)?, edge.services.settling.handlers());
    let schedules = edge.schedules();
    Ok(schedule(&schedules.update(&context, &wanted.schedule_id, &change, handlers).await?))
}

pub(super) async fn delete(
    edge: &Edge,
    request: &Request<v1::DeleteScheduleRequest>,
) -> Result<v1::Schedule, Problem> {
    let v1::DeleteScheduleRequest { schedule_id, request_id } = request.get_ref();
    let context = operator_context(request, "DeleteSchedule", request_id)?;
    Ok(schedule(&edge.schedules().delete(&context, schedule_id).await?))
}

pub(super) async fn list(
    edge: &Edge,
    request: &Request<v1::ListSchedulesRequest>,
) -> Result<v1::ListSchedulesResponse, Problem> {
    caller(request)?.operator()?;
    let wanted = request.get_ref();
    let page = page::page::<ScheduleId>(wanted.page_size, &wanted.page_token, None)?;
    let found = edge.schedules().list(page.clone()).await?;
    let last = found.last().map(|schedule| schedule.id.to_string());
    Ok(v1::ListSchedulesResponse {
        next_page_token: page::next(&page, found.len(), last),
        schedules: found.iter().filter(|found| !found.deleted).map(schedule).collect(),
    })
}

pub(super) async fn run(
    edge: &Edge,
    request: &Request<v1::RunScheduleRequest>,
) -> Result<v1::RunScheduleResponse, Problem> {
    let v1::RunScheduleRequest { schedule_id, request_id } = request.get_ref();
    let context = operator_context(request, "RunSchedule", request_id)?;
    let (found, ticket) = edge.schedules().run(&context, schedule_id).await?;
    let (schedule, ticket_id) = (Some(schedule(&found)), ticket.to_string());
    Ok(v1::RunScheduleResponse { schedule, ticket_id })
}

pub(super) async fn pause(
    edge: &Edge,
    request: &Request<v1::PauseScheduleRequest>,
) -> Result<v1::Schedule, Problem> {
    let v1::PauseScheduleRequest { schedule_id, request_id } = request.get_ref();
    let context = operator_context(request, "PauseSchedule", request_id)?;
    Ok(schedule(&edge.schedules().pause(&context, schedule_id).await?))
}

pub(super) async fn resume(
    edge: &Edge,
    request: &Request<v1::ResumeScheduleRequest>,
) -> Result<v1::Schedule, Problem> {
    let v1::ResumeScheduleRequest { schedule_id, request_id } = request.get_ref();
    let context = operator_context(request, "ResumeSchedule", request_id)?;
    Ok(schedule(&edge.schedules().resume(&context, schedule_id).await?))
}
