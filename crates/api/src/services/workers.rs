//! `OperationsService`: its part about workers.

use super::operations::operator_context;
use super::{Edge, Services, caller};
use crate::convert::{self, workers};
use crate::page;
use printmill_domain::ids::WorkerId;
use printmill_domain::problem::Problem;
use printmill_domain::worker::HERE;
use printmill_engine::command::Commands;
use printmill_engine::workers::Workers;
use printmill_proto::v1;
use tonic::Request;

impl Edge {
    fn workers(&self) -> Workers {
        let Services { database, clock, .. } = &self.services;
        Workers::new(Commands::new(database.clone(), clock.clone()))
    }
}

pub(super) async fn list(
    edge: &Edge,
    request: &Request<v1::ListWorkersRequest>,
) -> Result<v1::ListWorkersResponse, Problem> {
    caller(request)?.operator()?;
    let wanted = request.get_ref();
    let state = (!wanted.include_gone).then_some(HERE);
    let page = page::page::<WorkerId>(wanted.page_size, &wanted.page_token, state)?;
    let now = edge.services.clock.now();
    let found = edge.workers().list(page.clone()).await?;
    let last = found.last().map(|worker| worker.id.to_string());
    Ok(v1::ListWorkersResponse {
        next_page_token: page::next(&page, found.len(), last),
        workers: found.iter().map(|worker| workers::worker(worker, now)).collect(),
    })
}

pub(super) async fn update(
    edge: &Edge,
    request: &Request<v1::UpdateWorkerRequest>,
) -> Result<v1::Worker, Problem> {
    let wanted = request.get_ref();
    let context = operator_context(request, "UpdateWorker", &wanted.request_id)?;
    let id = convert::id("worker_id", &wanted.worker_id)?;
    let wish = workers::steering(wanted)?;
    let steered = edge.workers().steer(&context, id, &wish).await?;
    Ok(workers::worker(&steered, edge.services.clock.now()))
}
