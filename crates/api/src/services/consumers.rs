//! `OperationsService`: its part about consumers of the event log.

use super::{Edge, Services, caller};
use crate::convert::consumers::{consumer, from};
use printmill_domain::problem::Problem;
use printmill_engine::subscription::Consumers;
use printmill_proto::v1;
use tonic::Request;

impl Edge {
    fn consumers(&self) -> Consumers {
        let Services { database, clock, .. } = &self.services;
        Consumers::new(database.clone(), clock.clone())
    }
}

pub(super) async fn list(
    edge: &Edge,
    request: &Request<v1::ListConsumersRequest>,
) -> Result<v1::ListConsumersResponse, Problem> {
    caller(request)?.operator()?;
    let found = edge.consumers().list().await?;
    let consumers = found.iter().map(|found| consumer(found)).collect();
    Ok(v1::ListConsumersResponse { consumers })
}

pub(super) async fn replay(
    edge: &Edge,
    request: &Request<v1::ReplayConsumerRequest>,
) -> Result<v1::ReplayConsumerResponse, Problem> {
    caller(request)?.operator()?;
    let wanted = request.get_ref();
    let replayed = edge.consumers().replay(&wanted.name, from(wanted)?).await?;
    Ok(v1::ReplayConsumerResponse { consumers: replayed.iter().map(consumer).collect() })
}

pub(super) async fn resume(
    edge: &Edge,
    request: &Request<v1::ResumeConsumerRequest>,
) -> Result<v1::Consumer, Problem> {
    caller(request)?.operator()?;
    let v1::ResumeConsumerRequest { name, stream, skip } = request.get_ref();
    Ok(consumer(&edge.consumers().resume(name, stream, *skip).await?))
}
