//! KEDA's external scaler: says how many workers a lane needs to who starts and stops them.
//!
//! KEDA cannot send an API key, so that this is served only where it is switched on. What it tells
//! is a number of workers, made from counts that `/metrics` shows as well.

use super::{Edge, answer};
use crate::convert::keda::{Scaled, scaled};
use crate::errors;
use futures::StreamExt;
use futures::stream::BoxStream;
use printmill_domain::Timestamp;
use printmill_domain::lane::Lane;
use printmill_domain::problem::{Code, Problem};
use printmill_domain::scaling::{Backlog, Replicas};
use printmill_engine::operations::LaneLoad;
use printmill_proto::externalscaler as keda;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tonic::{Request, Response, Status};

/// Its methods, which need no key.
pub(crate) const METHODS: [&str; 4] = [
    "/externalscaler.ExternalScaler/IsActive",
    "/externalscaler.ExternalScaler/StreamIsActive",
    "/externalscaler.ExternalScaler/GetMetricSpec",
    "/externalscaler.ExternalScaler/GetMetrics",
];
/// The largest message.
pub(crate) const BYTES_MAX: usize = 16 * 1024;

/// What was seen is believed for so long, however often it is asked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often a stream looks when nothing is committed in this process.
const POLL: Duration = Duration::from_secs(2);
/// The most triggers that are remembered; of more, the one that was asked for the longest ago is
/// forgotten.
const TRIGGERS_MAX: usize = 256;

/// The scaler. Cloning shares what it remembers.
#[derive(Clone)]
pub(crate) struct Scaler {
    edge: Edge,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen last, and said to whom.
#[derive(Default)]
struct Seen {
    at: Option<Timestamp>,
    loads: Vec<LaneLoad>,
    said: HashMap<Trigger, Said>,
}

/// A trigger of a ScaledObject: its namespace, its name, and the lane.
type Trigger = (String, String, Lane);

struct Said {
    at: Timestamp,
    replicas: Replicas,
}

impl Scaler {
    /// Nothing seen yet.
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge, seen: Arc::default() }
    }

    /// How many workers a trigger's lane needs.
    async fn wanted(&self, object: Option<&keda::ScaledObjectRef>) -> Result<u32, Problem> {
        let object =
            object.ok_or_else(|| Problem::invalid_field("scaledObjectRef", "must say who asks"))?;
        let scaled = scaled(object)?;
        let mut seen = self.seen.lock().await;
        let at = self.look(&mut seen).await?;
        let trigger = (object.namespace.clone(), object.name.clone(), scaled.lane.clone());
        let before = match seen.said.remove(&trigger) {
            Some(said) if said.at == at => {
                let wanted = said.replicas.wanted();
                seen.said.insert(trigger, said);
                return Ok(wanted);
            }
            said => said.map(|said| said.replicas).unwrap_or_default(),
        };
        let backlog = backlog(&scaled, &seen.loads, at);
        let replicas = scaled.policy.replicas(before, &backlog);
        let wanted = replicas.wanted();
        seen.remember(trigger, Said { at, replicas });
        Ok(wanted)
    }

    /// Looks, unless that was done lately; when it was.
    async fn look(&self, seen: &mut Seen) -> Result<Timestamp, Problem> {
        let now = self.edge.services.clock.now();
        match seen.at {
            // If the clock was set back, it was not lately.
            Some(at) if (now - at).to_std().is_ok_and(|passed| passed < LOOK) => Ok(at),
            _ => {
                seen.loads = self.edge.services.operations.lanes(false).await?;
                seen.at = Some(now);
                Ok(now)
            }
        }
    }
}

impl Seen {
    fn remember(&mut self, trigger: Trigger, said: Said) {
        if self.said.len() >= TRIGGERS_MAX {
            let oldest = self.said.iter().min_by_key(|(_, said)| said.at);
            if let Some(oldest) = oldest.map(|(trigger, _)| trigger.clone()) {
                self.said.remove(&oldest);
            }
        }
        self.said.insert(trigger, said);
    }
}

fn backlog(scaled: &Scaled, loads: &[LaneLoad], now: Timestamp) -> Backlog {
    let load = loads.iter().find(|load| load.lane == scaled.lane);
    let age = load.and_then(|load| load.oldest_ready).map(|since| now - since);
    Backlog {
        now,
        ready: load.map_or(0, |load| load.ready),
        in_flight: load.map_or(0, |load| load.in_flight),
        oldest_age: age.and_then(|age| age.to_std().ok()).unwrap_or_default(),
        service: scaled.service,
    }
}

/// What the workers of a lane are counted by.
fn metric_name(object: &keda::ScaledObjectRef) -> Result<String, Problem> {
    Ok(format!("printmill-workers-{}", scaled(object)?.lane))
}

#[tonic::async_trait]
impl keda::external_scaler_server::ExternalScaler for Scaler {
    async fn is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::IsActiveResponse>, Status> {
        let wanted = self.wanted(Some(request.get_ref())).await;
        answer(wanted.map(|wanted| keda::IsActiveResponse { result: wanted > 0 }))
    }

    type StreamIsActiveStream = BoxStream<'static, Result<keda::IsActiveResponse, Status>>;

    async fn stream_is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let object = request.into_inner();
        let place = scaled(&object).and_then(|_| {
            self.edge.streams.clone().try_acquire_owned().map_err(|_| errors::busy())
        });
        answer(place.map(|place| {
            let commits = self.edge.services.database.commits();
            let scaler = self.clone();
            Watch { scaler, object, commits, last: None, over: false, _place: place }.stream()
        }))
    }

    async fn get_metric_spec(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::GetMetricSpecResponse>, Status> {
        answer(metric_name(request.get_ref()).map(|metric_name| {
            let spec = keda::MetricSpec { metric_name, target_size: 1, target_size_float: 1.0 };
            keda::GetMetricSpecResponse { metric_specs: vec![spec] }
        }))
    }

    async fn get_metrics(
        &self,
        request: Request<keda::GetMetricsRequest>,
    ) -> Result<Response<keda::GetMetricsResponse>, Status> {
        let object = request.get_ref().scaled_object_ref.as_ref();
        let measured = async {
            let wanted = self.wanted(object).await?;
            Ok(keda::MetricValue {
                metric_name: object.map(metric_name).transpose()?.unwrap_or_default(),
                metric_value: wanted.into(),
                metric_value_float: wanted.into(),
            })
        };
        let measured: Result<_, Problem> = measured.await;
        answer(measured.map(|value| keda::GetMetricsResponse { metric_values: vec![value] }))
    }
}

/// Whether a trigger is active, each time that it changes.
struct Watch {
    scaler: Scaler,
    object: keda::ScaledObjectRef,
    commits: watch::Receiver<u64>,
    last: Option<bool>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    fn stream(self) -> BoxStream<'static, Result<keda::IsActiveResponse, Status>> {
        let next = |mut watch: Watch| async move {
            if watch.over {
                return None;
            }
            let next = watch.next().await;
            watch.over = next.is_err();
            let next = next.map(|result| keda::IsActiveResponse { result });
            Some((next.map_err(|problem| errors::status(&problem)), watch))
        };
        futures::stream::unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Result<bool, Problem> {
        loop {
            // Marked before looking, so that a commit in between is not slept through.
            self.commits.borrow_and_update();
            let active = self.scaler.wanted(Some(&self.object)).await? > 0;
            if self.last.replace(active) != Some(active) {
                return Ok(active);
            }
            let soon = async {
                tokio::time::sleep(LOOK).await;
                let _ = tokio::time::timeout(POLL - LOOK, self.commits.changed()).await;
            };
            tokio::select! {
                () = soon => {}
                () = self.scaler.edge.stopping.cancelled() => return Err(leaving()),
            }
        }
    }
}

fn leaving() -> Problem {
    Problem::new(Code::Cancelled, "the node is shutting down", "ask again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trigger_that_was_asked_for_the_longest_ago_is_forgotten() {
        let trigger = |number: usize| ("print".into(), format!("{number}"), Lane::render());
        let mut seen = Seen::default();
        for number in 0..TRIGGERS_MAX + 7 {
            let at = Timestamp::UNIX_EPOCH + Duration::from_secs(number as u64);
            seen.remember(trigger(number), Said { at, replicas: Replicas::default() });
        }
        assert_eq!(seen.said.len(), TRIGGERS_MAX);
        assert!(!seen.said.contains_key(&trigger(6)) && seen.said.contains_key(&trigger(7)));
    }
}
