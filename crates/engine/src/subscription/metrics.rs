//! What subscriptions count, for Prometheus.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Counters of consumers. Cloning shares them.
#[derive(Clone)]
pub struct SubscriptionMetrics {
    /// Events that had their effect, by consumer.
    pub consumed: IntCounterVec,
    /// Places of the log that are not read yet, by consumer and shard.
    pub lag: IntGaugeVec,
    /// Streams that wait for a person, by consumer and shard.
    pub parked: IntGaugeVec,
    /// Tries that failed, by consumer.
    pub failed: IntCounterVec,
}

impl SubscriptionMetrics {
    /// Makes the counters and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let shard = &["consumer", "shard"];
        let metrics = Self {
            consumed: IntCounterVec::new(
                Opts::new("printmill_consumer_events_total", "Events that had their effect."),
                &["consumer"],
            )?,
            lag: IntGaugeVec::new(
                Opts::new("printmill_consumer_lag", "Places of the log that are not read yet."),
                shard,
            )?,
            parked: IntGaugeVec::new(
                Opts::new("printmill_consumer_parked", "Streams that wait for a person."),
                shard,
            )?,
            failed: IntCounterVec::new(
                Opts::new("printmill_consumer_failures_total", "Tries of events that failed."),
                &["consumer"],
            )?,
        };
        registry.register(Box::new(metrics.consumed.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.parked.clone()))?;
        registry.register(Box::new(metrics.failed.clone()))?;
        Ok(metrics)
    }
}
