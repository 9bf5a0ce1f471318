//! `OperationsService`.

use super::{Edge, answer, caller};
use crate::convert;
use printmill_domain::problem::Problem;
use printmill_domain::ticket::TicketState;
use printmill_proto::v1;
use std::collections::BTreeMap;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::operations_service_server::OperationsService for Edge {
    async fn list_lanes(
        &self,
        request: Request<v1::ListLanesRequest>,
    ) -> Result<Response<v1::ListLanesResponse>, Status> {
        let listed = async {
            caller(&request)?.operator()?;
            let mut lanes: BTreeMap<String, v1::LaneLoad> = BTreeMap::new();
            for found in self.services.operations.lanes().await? {
                let name = found.lane.to_string();
                let lane = lanes.entry(name.clone()).or_default();
                lane.lane = name;
                let count = i64::try_from(found.count).unwrap_or(i64::MAX);
                match found.state {
                    TicketState::Queued => {
                        lane.ready = count;
                        lane.oldest_ready_time = found.oldest.and_then(convert::time);
                    }
                    TicketState::Leased => lane.in_flight = count,
                    TicketState::Done | TicketState::Dead => {}
                }
            }
            Ok::<_, Problem>(v1::ListLanesResponse { lanes: lanes.into_values().collect() })
        };
        answer(listed.await)
    }
}
