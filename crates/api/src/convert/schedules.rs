//! Schedules on the wire.

use super::time;
use printmill_domain::schedule::{MissedTicks, Schedule};
use printmill_proto::v1;

/// A schedule on the wire.
pub(crate) fn schedule(schedule: &Schedule) -> v1::Schedule {
    let missed = match schedule.missed {
        MissedTicks::Skip => v1::MissedTicks::Skip,
        MissedTicks::Once => v1::MissedTicks::Once,
        MissedTicks::All => v1::MissedTicks::All,
    };
    v1::Schedule {
        schedule_id: schedule.id.to_string(),
        name: schedule.name.clone(),
        cron: schedule.cron.clone(),
        zone: schedule.zone.clone(),
        missed: missed.into(),
        kind: schedule.makes.kind.clone(),
        lane: schedule.makes.lane.to_string(),
        paused: schedule.paused,
        last_tick_time: schedule.last_tick.and_then(time),
        next_tick_time: Some(schedule.next_tick).filter(|_| !schedule.paused).and_then(time),
        create_time: time(schedule.created_at),
    }
}
