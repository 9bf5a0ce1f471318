//! Schedules on the wire.

use super::{object, structure, time};
use pbjson_types::Struct;
use printmill_domain::lane::Lane;
use printmill_domain::problem::Problem;
use printmill_domain::schedule::{Definition, MissedTicks, Schedule, TicketTemplate};
use printmill_engine::schedules::ScheduleChange;
use printmill_proto::v1;
use serde_json::{Map, Value};

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
        payload: structure(&Value::Object(schedule.makes.payload.clone())),
    }
}

/// A schedule to be made.
pub(crate) fn definition(request: &v1::CreateScheduleRequest) -> Result<Definition, Problem> {
    let zone = if request.zone.is_empty() { "UTC" } else { &request.zone };
    Ok(Definition {
        name: request.name.clone(),
        cron: request.cron.clone(),
        zone: zone.to_owned(),
        missed: missed(request.missed)?.unwrap_or(MissedTicks::Skip),
        makes: TicketTemplate {
            lane: lane(&request.lane)?,
            kind: request.kind.clone(),
            payload: request.payload.as_ref().map(payload).unwrap_or_default(),
        },
    })
}

/// What is to be changed of a schedule.
pub(crate) fn change(request: &v1::UpdateScheduleRequest) -> Result<ScheduleChange, Problem> {
    Ok(ScheduleChange {
        cron: request.cron.clone(),
        zone: request.zone.clone(),
        missed: missed(request.missed)?,
        lane: request.lane.as_deref().map(lane).transpose()?,
        kind: request.kind.clone(),
        payload: request.payload.as_ref().map(payload),
    })
}

fn missed(given: i32) -> Result<Option<MissedTicks>, Problem> {
    match v1::MissedTicks::try_from(given) {
        Ok(v1::MissedTicks::Unspecified) => Ok(None),
        Ok(v1::MissedTicks::Skip) => Ok(Some(MissedTicks::Skip)),
        Ok(v1::MissedTicks::Once) => Ok(Some(MissedTicks::Once)),
        Ok(v1::MissedTicks::All) => Ok(Some(MissedTicks::All)),
        Err(_) => Err(Problem::invalid_field("missed", "must be skip, once or all")),
    }
}

fn lane(name: &str) -> Result<Lane, Problem> {
    let form = "must be 1 to 64 letters, digits, - and _";
    Lane::parse(name).ok_or_else(|| Problem::invalid_field("lane", form))
}

fn payload(given: &Struct) -> Map<String, Value> {
    match object(given) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
