//! What is counted of calls to backends, for Prometheus.

use crate::backend::Backend;
use crate::call::Operation;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// It was answered.
    Ok,
    /// It was answered with a refusal: something changed, is not there, or is not possible.
    Refused,
    /// The backend failed.
    Failed,
    /// It was not answered in time.
    TimedOut,
    /// Too many waited, or it waited too long for its turn.
    Shed,
    /// The circuit was open.
    CircuitOpen,
    /// Who called went away before the answer.
    Dropped,
}

impl Outcome {
    const NAMES: [&'static str; 7] =
        ["ok", "refused", "failed", "timed_out", "shed", "circuit_open", "dropped"];

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Counters of all backends of a node. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Metrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    retries: IntCounterVec,
    opened: IntCounterVec,
    /// Read when somebody asks, so that they cost calls nothing.
    states: Arc<States>,
}

struct States {
    circuit: IntGaugeVec,
    in_flight: IntGaugeVec,
    waiting: IntGaugeVec,
    backends: Mutex<Vec<Weak<Backend>>>,
}

impl Metrics {
    /// Makes the counters and registers them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        const SECONDS: [f64; 11] =
            [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];
        let counter =
            |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let states = States {
            circuit: gauge(
                "printmill_backend_circuit_state",
                "Whether a backend is called: 0 yes (closed), 1 now and then (half-open), 2 no (open).",
                &["backend"],
            )?,
            in_flight: gauge(
                "printmill_backend_in_flight",
                "Calls to a backend that are under way, by compartment.",
                &["backend", "compartment"],
            )?,
            waiting: gauge(
                "printmill_backend_waiting",
                "Calls to a backend that wait for their turn, by compartment.",
                &["backend", "compartment"],
            )?,
            backends: Mutex::default(),
        };
        let metrics = Self {
            calls: counter(
                "printmill_backend_calls_total",
                "Calls to a backend, by operation and outcome.",
                &["backend", "operation", "outcome"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "printmill_backend_call_seconds",
                    "What calls took, with waiting for a turn and with retries.",
                )
                .buckets(SECONDS.to_vec()),
                &["backend", "operation"],
            )?,
            retries: counter(
                "printmill_backend_retries_total",
                "Attempts beyond the first of a call.",
                &["backend", "operation"],
            )?,
            opened: counter(
                "printmill_backend_circuit_opened_total",
                "How often a backend began to be left alone.",
                &["backend"],
            )?,
            states: Arc::new(states),
        };
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.opened.clone()))?;
        registry.register(Box::new(StatesCollector(metrics.states.clone())))?;
        Ok(metrics)
    }

    /// The counters of one backend.
    pub(crate) fn of(&self, backend: &'static str) -> BackendMetrics {
        BackendMetrics {
            backend,
            opened: self.opened.with_label_values(&[backend]),
            metrics: self.clone(),
            operations: [const { OperationMetrics::new() }; Operation::MAX],
        }
    }

    /// Tells the state of a backend to whoever asks, as long as it lives.
    pub(crate) fn watch(&self, backend: &Arc<Backend>) {
        let mut backends = self.states.backends.lock().unwrap_or_else(PoisonError::into_inner);
        backends.push(Arc::downgrade(backend));
    }

    /// The backends that live.
    pub(crate) fn watched(&self) -> Vec<Arc<Backend>> {
        self.states.watched()
    }
}

impl States {
    fn watched(&self) -> Vec<Arc<Backend>> {
        let backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        backends.iter().filter_map(Weak::upgrade).collect()
    }
}

struct StatesCollector(Arc<States>);

impl Collector for StatesCollector {
    fn desc(&self) -> Vec<&Desc> {
        let States { circuit, in_flight, waiting, .. } = self.0.as_ref();
        [circuit, in_flight, waiting].into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let States { circuit, in_flight, waiting, .. } = self.0.as_ref();
        for backend in self.0.watched() {
            let state = backend.breaker.condition() as i64;
            circuit.with_label_values(&[backend.role]).set(state);
            for places in &backend.compartments {
                let labels = [backend.role, places.name];
                in_flight.with_label_values(&labels).set(places.in_flight());
                waiting.with_label_values(&labels).set(places.waiting());
            }
        }
        [circuit, in_flight, waiting].into_iter().flat_map(Collector::collect).collect()
    }
}

/// Counters of one backend, found by index.
pub(crate) struct BackendMetrics {
    backend: &'static str,
    pub(crate) opened: IntCounter,
    metrics: Metrics,
    operations: [OperationMetrics; Operation::MAX],
}

/// Made when the operation is first used, so that `/metrics` shows no more than there is.
struct OperationMetrics {
    outcomes: [OnceLock<IntCounter>; Outcome::NAMES.len()],
    seconds: OnceLock<Histogram>,
    retries: OnceLock<IntCounter>,
}

impl OperationMetrics {
    const fn new() -> Self {
        Self {
            outcomes: [const { OnceLock::new() }; Outcome::NAMES.len()],
            seconds: OnceLock::new(),
            retries: OnceLock::new(),
        }
    }
}

impl BackendMetrics {
    /// A call ended.
    pub(crate) fn ended(&self, operation: &Operation, outcome: Outcome, seconds: f64) {
        let of = &self.operations[operation.index];
        let labels = [self.backend, operation.name];
        let count = of.outcomes[outcome as usize].get_or_init(|| {
            let [backend, operation] = labels;
            self.metrics.calls.with_label_values(&[backend, operation, outcome.name()])
        });
        count.inc();
        let histogram = || self.metrics.seconds.with_label_values(&labels);
        of.seconds.get_or_init(histogram).observe(seconds);
    }

    /// A call is tried again.
    pub(crate) fn retried(&self, operation: &Operation) {
        let counter = || self.metrics.retries.with_label_values(&[self.backend, operation.name]);
        self.operations[operation.index].retries.get_or_init(counter).inc();
    }
}
