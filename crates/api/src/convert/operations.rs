//! What operators see.

use super::time;
use printmill_engine::operations::LaneLoad;
use printmill_proto::v1;

/// How much work a lane has.
pub(crate) fn lane_load(load: LaneLoad) -> v1::LaneLoad {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    v1::LaneLoad {
        lane: load.lane.to_string(),
        merchant_id: load.merchant.map(|id| id.to_string()).unwrap_or_default(),
        ready: count(load.ready),
        delayed: count(load.delayed),
        in_flight: count(load.in_flight),
        dead: count(load.dead),
        oldest_ready_time: load.oldest_ready.and_then(time),
    }
}
