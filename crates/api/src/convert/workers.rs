//! Workers on the wire.

use super::time;
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Problem;
use printmill_domain::worker::{CONCURRENCY_MAX, LaneSteering, Steering, Worker};
use printmill_proto::v1;

/// The most changes of lanes in one request.
const LANES_MAX: usize = 64;

/// A worker on the wire.
pub(crate) fn worker(worker: &Worker, now: Timestamp) -> v1::Worker {
    let state = match worker {
        Worker { gone: true, .. } => v1::WorkerState::Gone,
        worker if worker.is_silent(now) => v1::WorkerState::Silent,
        Worker { draining: true, .. } => v1::WorkerState::Draining,
        _ => v1::WorkerState::Serving,
    };
    let lanes = worker.lanes.iter().map(|served| v1::WorkerLane {
        lane: served.lane.to_string(),
        concurrency: served.concurrency().into(),
        configured_concurrency: served.configured.into(),
        paused: served.paused,
    });
    let running = worker.running.iter().map(|running| v1::RunningTicket {
        ticket_id: running.ticket.to_string(),
        kind: running.kind.clone(),
        lane: running.lane.to_string(),
        since_time: time(running.since),
    });
    v1::Worker {
        worker_id: worker.id.to_string(),
        host: worker.host.clone(),
        pid: worker.pid,
        version: worker.version.clone(),
        state: state.into(),
        heeded: worker.heeded == worker.revision,
        lanes: lanes.collect(),
        running: running.collect(),
        running_count: worker.running_count,
        start_time: time(worker.started_at),
        last_report_time: time(worker.seen_at),
        outside: worker.outside.is_some(),
        kinds: worker.outside.iter().flat_map(|outside| outside.kinds.clone()).collect(),
    }
}

/// What an operator wants changed.
pub(crate) fn steering(request: &v1::UpdateWorkerRequest) -> Result<Steering, Problem> {
    if request.lanes.len() > LANES_MAX {
        return Err(Problem::invalid_field("lanes", format!("must be {LANES_MAX} at most")));
    }
    let lanes = request.lanes.iter().enumerate().map(|(index, change)| {
        let lane = Lane::parse(&change.lane).ok_or_else(|| {
            let description = "must be 1 to 64 letters, digits, - and _";
            Problem::invalid_field(format!("lanes[{index}].lane"), description)
        })?;
        let concurrency = change.concurrency.map(|wanted| {
            u16::try_from(wanted).ok().filter(|wanted| *wanted <= CONCURRENCY_MAX).ok_or_else(
                || {
                    let description = format!("must be 0 to {CONCURRENCY_MAX}");
                    Problem::invalid_field(format!("lanes[{index}].concurrency"), description)
                },
            )
        });
        Ok(LaneSteering { lane, paused: change.paused, concurrency: concurrency.transpose()? })
    });
    let lanes = lanes.collect::<Result<Vec<_>, Problem>>()?;
    Ok(Steering { draining: request.draining, lanes })
}
