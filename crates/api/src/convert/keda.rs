//! What the metadata of a KEDA trigger asks for.

use printmill_domain::lane::Lane;
use printmill_domain::problem::{Problem, Violation};
use printmill_domain::scaling::{Policy, ServiceTime};
use printmill_proto::externalscaler::ScaledObjectRef;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest name of a thing in Kubernetes.
const NAME_MAX: usize = 253;
/// The longest time, in seconds.
const SECONDS_MAX: f64 = 86_400.0;
/// The most workers.
const WORKERS_MAX: u32 = 10_000;
/// How much tickets vary that nobody has seen: as much as they take on the average.
const VARIATION: f64 = 1.0;

/// A lane and what is wanted of its workers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaled {
    pub(crate) lane: Lane,
    pub(crate) policy: Policy,
    pub(crate) service: ServiceTime,
}

/// Reads the metadata. Keys that mean nothing here are KEDA's own, and left alone.
pub(crate) fn scaled(object: &ScaledObjectRef) -> Result<Scaled, Problem> {
    let mut wrong = vec![];
    if object.name.len() > NAME_MAX || object.namespace.len() > NAME_MAX {
        wrong.push(violation("name", format!("must have at most {NAME_MAX} characters")));
    }
    let lane = object.scaler_metadata.get("lane").and_then(|name| Lane::parse(name));
    if lane.is_none() {
        wrong.push(violation("lane", "must be the name of a lane, as in render".into()));
    }
    let mut seconds = |key: &str, range, usual| {
        Duration::from_secs_f64(number(object, &mut wrong, key, range, usual))
    };
    let target_wait = seconds("targetWaitSeconds", 0.0..=SECONDS_MAX, 60.0);
    let boot = seconds("bootSeconds", 0.0..=SECONDS_MAX, 30.0);
    let mean = seconds("ticketSeconds", 0.001..=SECONDS_MAX, 10.0);
    let mut count = |key: &str, range, usual| number::<u32>(object, &mut wrong, key, range, usual);
    let workers_min = count("minWorkers", 0..=WORKERS_MAX, 0);
    let workers_max = count("maxWorkers", 1..=WORKERS_MAX, 100);
    let concurrency = count("concurrency", 1..=1_000, 1);
    if workers_min > workers_max {
        wrong.push(violation("minWorkers", "must be at most maxWorkers".into()));
    }
    let policy = Policy { target_wait, boot, workers_min, workers_max, concurrency };
    let service = ServiceTime { mean, variation: VARIATION };
    match lane {
        Some(lane) if wrong.is_empty() => Ok(Scaled { lane, policy, service }),
        _ => Err(Problem::invalid_fields(wrong)),
    }
}

/// A number within a range, or what is usual when it is not given.
fn number<N: Copy + PartialOrd + std::str::FromStr + std::fmt::Display>(
    object: &ScaledObjectRef,
    wrong: &mut Vec<Violation>,
    key: &str,
    range: RangeInclusive<N>,
    usual: N,
) -> N {
    let Some(text) = object.scaler_metadata.get(key) else { return usual };
    match text.parse() {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let (least, most) = (range.start(), range.end());
            wrong.push(violation(key, format!("must be a number from {least} to {most}")));
            usual
        }
    }
}

fn violation(key: &str, description: String) -> Violation {
    let field = match key {
        "name" => "name".into(),
        key => format!("scalerMetadata.{key}"),
    };
    Violation { field, description }
}
